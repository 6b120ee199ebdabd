"""A codebook of block patterns, and what usually follows what: the shared knowledge of vector-quantized streams."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from freqq.coding.codebook_files import codebook_id, read_arrays
from freqq.coding.rans import ESCAPE, MOST_BITS, Automaton
from freqq.errors import UserError
from freqq.image.vq_source import Contexts, Patterns, independent

MOST_SIDE = 64
DTYPES = {
    "patterns": "uint8", "neighbours": "uint16", "distances": "float16", "pairs": "uint16", "starts": "int32",
    "symbols": "uint16", "frequencies": "uint16", "escapes": "uint32",
}  # fmt: skip


@dataclass(frozen=True)
class Codebook:
    """Block patterns [h, w], the most frequent first, with the statistics of their sequences along a line.

    Parameters
    ----------
    patterns : Patterns, K of them
    neighbours : uint16 [K, m]
        The patterns nearest to each, itself first.
    distances : float16 [K, m]
        How far they are from it, as `Patterns.ranked` has it.
    pairs : int [P, 2], ascending
        Pairs of patterns that are contexts of their own.
    source : Automaton
        Over the indices of patterns, with the states of `freqq.image.vq_source.Contexts`.
    escapes : uint32 [K], positive
        How often each pattern came where the source does not expect it.
    """

    patterns: Patterns
    neighbours: NDArray[np.uint16]
    distances: NDArray[np.float16]
    pairs: NDArray[np.integer]
    source: Automaton
    escapes: NDArray[np.uint32]

    @cached_property
    def file(self) -> bytes:
        """The codebook as a safetensors file, the same for the same codebook."""
        source = self.source
        arrays = {
            "patterns": self.patterns.array, "neighbours": self.neighbours, "distances": self.distances,
            "pairs": self.pairs, "starts": source.starts, "symbols": source.symbols,
            "frequencies": source.frequencies, "escapes": self.escapes,
        }  # fmt: skip
        return save({name: np.ascontiguousarray(values, DTYPES[name]) for name, values in arrays.items()})

    @cached_property
    def id(self) -> bytes:
        """What streams call it."""
        return codebook_id(self.file)

    @cached_property
    def escaped(self) -> Automaton:
        """The source of the symbols that escaped."""
        return independent(self.escapes.astype(np.float64))


def read_codebook(path: Path) -> Codebook:
    """Read a codebook's file. Nothing in it is trusted.

    Raises
    ------
    UserError
        If it cannot be read, or is no codebook.
    """
    data, arrays = read_arrays(path)
    reason = _fault(arrays)
    if reason:
        raise UserError(f"{path} is no codebook: {reason}")
    contexts = Contexts(len(arrays["patterns"]), arrays["pairs"])
    source = contexts.automaton(
        arrays["starts"].astype(np.int64), arrays["symbols"], arrays["frequencies"].astype(np.int64)
    )
    patterns = Patterns(arrays["patterns"])
    book = Codebook(patterns, arrays["neighbours"], arrays["distances"], arrays["pairs"], source, arrays["escapes"])
    book.__dict__["file"] = data
    return book


def _fault(arrays: dict[str, NDArray[Any]]) -> str:
    """What keeps arrays from being a codebook; nothing if they are one."""
    for name, dtype in DTYPES.items():
        if name not in arrays or arrays[name].dtype != dtype:
            return f"it has no {name} of type {dtype}"
    patterns, pairs, starts = arrays["patterns"], arrays["pairs"], arrays["starts"].astype(np.int64)
    symbols, frequencies = arrays["symbols"], arrays["frequencies"].astype(np.int64)
    sides = patterns.shape[1:]
    if patterns.ndim != 3 or not 1 <= len(patterns) < ESCAPE or not all(1 <= side <= MOST_SIDE for side in sides):
        return "its patterns are out of bounds"
    count, states, entries = len(patterns), len(starts) - 1, len(symbols)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or (len(pairs) and pairs.max() >= count):
        return "its pairs are out of bounds"
    if (np.diff(pairs[:, 0].astype(np.int64) * count + pairs[:, 1]) <= 0).any():
        return "its pairs are out of order"
    near = arrays["neighbours"]
    if near.ndim != 2 or near.shape != arrays["distances"].shape or near.shape[0] != count or near.shape[1] < 1:
        return "its neighbours do not fit its patterns"
    if near.max() >= count or arrays["escapes"].shape != (count,) or arrays["escapes"].min() < 1:
        return "its neighbours or escapes are out of bounds"
    whole = starts.ndim == 1 and states == 1 + count + len(pairs) and symbols.shape == frequencies.shape == (entries,)
    if not whole or starts[0] != 0 or starts[-1] != entries or (np.diff(starts) < 1).any():
        return "its states do not fit its entries"
    totals = np.add.reduceat(frequencies, starts[:-1])
    if frequencies.min() < 1 or totals.max() > 1 << MOST_BITS or (totals & (totals - 1)).any():
        return "its frequencies are out of bounds"
    last = starts[1:] - 1
    listed = np.delete(symbols, last)
    ascending = np.diff(np.repeat(np.arange(states), np.diff(starts)) << MOST_BITS | symbols) > 0
    if (symbols[last] != ESCAPE).any() or (len(listed) and listed.max() >= count) or not ascending.all():
        return "its symbols are out of order"
    return ""
