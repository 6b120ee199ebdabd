"""A codebook: block patterns and the statistics of their sequences."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from freqq.coding.codebook_files import codebook_id, read_arrays
from freqq.coding.rans import ESCAPE, MOST_BITS, Automaton, scaled
from freqq.image.vq_patterns import Patterns


class Contexts:
    """The states of an automaton: 0 is the beginning of a row, then one per symbol, then one per listed pair.

    Parameters
    ----------
    symbols : int
        Their number; they are 0 .. `symbols` - 1.
    pairs : int [P, 2], ascending
        Pairs of symbols with their own state.
    """

    def __init__(self, symbols: int, pairs: NDArray[np.integer]) -> None:
        self.symbols = symbols
        self._pairs = pairs[:, 0].astype(np.int64) * symbols + pairs[:, 1]
        self.last = np.concatenate([[-1], np.arange(symbols), pairs[:, 1].astype(np.int64)])
        """The last symbol of each state, -1 at the beginning."""

    def state(self, before: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
        """The state after two symbols; -1 means before the beginning."""
        single = last + 1
        if not len(self._pairs):
            return single
        key = np.where((before < 0) | (last < 0), -1, before * self.symbols + last)
        at = np.minimum(np.searchsorted(self._pairs, key), len(self._pairs) - 1)
        return np.where(self._pairs[at] == key, at + 1 + self.symbols, single)

    def automaton(
        self, starts: NDArray[np.int64], symbols: NDArray[np.integer], frequencies: NDArray[np.int64]
    ) -> Automaton:
        """The automaton of these states with the given entries, see `Automaton`."""
        last = np.repeat(self.last, np.diff(starts))
        named = symbols.astype(np.int64)
        follows = self.state(last, np.where(named == ESCAPE, -1, named))
        return Automaton(starts, named.astype(np.uint16), frequencies, follows, np.arange(self.symbols) + 1)


def independent(counts: NDArray[np.floating]) -> Automaton:
    """An automaton of one state: independent symbols with the given positive counts."""
    size = len(counts)
    nowhere = np.zeros(size, np.int64)
    return Automaton(np.array([0, size]), np.arange(size, dtype=np.uint16), scaled(counts, MOST_BITS), nowhere, nowhere)


MOST_SIDE = 64
MOST_PHASES = 255
"""Largest numerator of a pitch: a stream writes a phase in one byte."""
SLOTS_PER_ENTRY, MOST_SLOTS = 128, 1 << 27
"""Bounds of the sum of all frequencies, each of which takes 4 bytes of a decoder's table. `vq_training` gives a state
at most 128, or 16 for each of its entries; the shipped codebook for Glyph's look has 2^22.7."""
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
    pitch : Fraction
        Distance of two lines in pixels; the patterns' height, or less than a pixel lower. In the file only if it is not
        whole: uint16 [2], its numerator and denominator.
    neighbours : uint16 [K, m]
        The patterns nearest to each, itself first.
    distances : float16 [K, m]
        Their distances, see `Patterns.ranked`.
    pairs : int [P, 2], ascending
        Pairs of patterns with their own context.
    source : Automaton
        Over the indices of patterns, with the states of `Contexts`.
    escapes : uint32 [K], positive
        How often each pattern occurred where the source does not list it.
    """

    patterns: Patterns
    pitch: Fraction
    neighbours: NDArray[np.uint16]
    distances: NDArray[np.float16]
    pairs: NDArray[np.integer]
    source: Automaton
    escapes: NDArray[np.uint32]

    @cached_property
    def file(self) -> bytes:
        """The codebook as a safetensors file; deterministic."""
        source = self.source
        arrays = {
            "patterns": self.patterns.array, "neighbours": self.neighbours, "distances": self.distances,
            "pairs": self.pairs, "starts": source.starts, "symbols": source.symbols,
            "frequencies": source.frequencies, "escapes": self.escapes,
        }  # fmt: skip
        typed = {name: np.ascontiguousarray(values, DTYPES[name]) for name, values in arrays.items()}
        between = {} if self.pitch.denominator == 1 else {"pitch": np.array(self.pitch.as_integer_ratio(), np.uint16)}
        return save(typed | between)

    @cached_property
    def id(self) -> bytes:
        """Its id in streams."""
        return codebook_id(self.file)

    @cached_property
    def escaped(self) -> Automaton:
        """The source of escaped symbols."""
        return independent(self.escapes.astype(np.float64))


def read_codebook(path: Path) -> Codebook:
    """Read and validate a codebook's file.

    Raises
    ------
    UserError
        If it cannot be read, or is not a codebook.
    """
    data, arrays = read_arrays(path, "codebook", DTYPES, _fault)
    contexts = Contexts(len(arrays["patterns"]), arrays["pairs"])
    source = contexts.automaton(
        arrays["starts"].astype(np.int64), arrays["symbols"], arrays["frequencies"].astype(np.int64)
    )
    patterns = Patterns(arrays["patterns"])
    book = Codebook(patterns, _pitch(arrays), arrays["neighbours"], arrays["distances"], arrays["pairs"], source,
                    arrays["escapes"])  # fmt: skip
    book.__dict__["file"] = data
    return book


def _pitch(arrays: dict[str, NDArray[Any]]) -> Fraction:
    return Fraction(*map(int, arrays["pitch"])) if "pitch" in arrays else Fraction(arrays["patterns"].shape[1])


def _fault(arrays: dict[str, NDArray[Any]]) -> str:
    """Why arrays are not a valid codebook; empty if they are."""
    patterns, pairs, starts = arrays["patterns"], arrays["pairs"], arrays["starts"].astype(np.int64)
    symbols, frequencies = arrays["symbols"], arrays["frequencies"].astype(np.int64)
    sides = patterns.shape[1:]
    if patterns.ndim != 3 or not 1 <= len(patterns) < ESCAPE or not all(1 <= side <= MOST_SIDE for side in sides):
        return "its patterns are out of bounds"
    ratio = arrays.get("pitch")
    if ratio is not None and (ratio.dtype != np.uint16 or ratio.shape != (2,) or not ratio.all()):
        return "its pitch is out of bounds"
    if (pitch := _pitch(arrays)) < 1 or ceil(pitch) != sides[0] or pitch.numerator > MOST_PHASES:
        return "its pitch does not fit its patterns"
    if starts.ndim != 1 or symbols.ndim != 1:
        return "its states do not fit its entries"
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
    whole = states == 1 + count + len(pairs) and symbols.shape == frequencies.shape == (entries,)
    if not whole or starts[0] != 0 or starts[-1] != entries or (np.diff(starts) < 1).any():
        return "its states do not fit its entries"
    totals = np.add.reduceat(frequencies, starts[:-1])
    sound = frequencies.min() >= 1 and totals.max() <= 1 << MOST_BITS and not (totals & (totals - 1)).any()
    if not sound or totals.sum() > min(SLOTS_PER_ENTRY * entries, MOST_SLOTS):
        return "its frequencies are out of bounds"
    last = starts[1:] - 1
    listed = np.delete(symbols, last)
    ascending = np.diff(np.repeat(np.arange(states), np.diff(starts)) << MOST_BITS | symbols) > 0
    if (symbols[last] != ESCAPE).any() or (len(listed) and listed.max() >= count) or not ascending.all():
        return "its symbols are out of order"
    return ""
