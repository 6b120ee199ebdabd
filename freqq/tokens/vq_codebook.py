"""A codebook of a model's vision tokens: the rotation that decorrelates channels, and codewords for groups of them.

The statistics of a vision tower's features are the model's, not the page's, so they are stored once: every channel's
mean and deviation, the principal axes of the channels (their Karhunen-Loeve transform), and for each of `RATES` rates
and each radial band of a grid's DCT the groups of axes with their codewords (product quantization; Jegou, Douze,
Schmid: IEEE TPAMI 33(1), 2011) and how often each came.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from freqq.coding.codebook_files import codebook_id, read_arrays
from freqq.coding.rans import Automaton
from freqq.transforms.bands import BANDS

RATES = 4
MOST_WORDS = 256
"""Codewords of a group; the DC has as many symbols."""

TABLE_BITS = 13
"""Frequencies of a group's codewords add up to 2^13."""

MARK = "rotation"
"""The array by which a file is known to be a codebook of tokens."""

DTYPES = {
    "means": "float32", "deviations": "float32", "rotation": "float16", "variances": "float32", "edges": "float64",
    "distortions": "float32", "dc_steps": "float32", "dc_tables": "uint8", "dc_frequencies": "uint16",
    "groups": "uint16", "widths": "uint8", "sizes": "uint16", "words": "float16", "frequencies": "uint16",
}  # fmt: skip


@dataclass(frozen=True)
class Group:
    """Neighbouring axes that are quantized together.

    Parameters
    ----------
    axes : slice
    words : float32 [K, d], the first one zero
    biases : float32 [K], see `word_biases`
    """

    axes: slice
    words: Tensor
    biases: Tensor

    def on(self, device: torch.device) -> "Group":
        """The same on a device."""
        return Group(self.axes, self.words.to(device), self.biases.to(device))


def word_biases(words: Tensor, frequencies: Tensor, distortion: float) -> Tensor:
    """What is added to -2 x·w so that the least is the word w of least error and cost for x: [K].

    A bit is worth 2 ln 2 times the squared error of a coefficient: what another bit would save, at 6 dB a bit.
    """
    bits = torch.log2(frequencies.sum() / frequencies)
    return words.square().sum(1) + 2 * log(2) * distortion * bits


def nearest_words(vectors: Tensor, words: Tensor, biases: Tensor) -> Tensor:
    """For each vector [n, d] the word [K, d] of least squared error and cost: int64 [n]."""
    away = torch.addmm(biases[None], vectors, words.T, alpha=-2)
    # On a CPU numpy finds the least ones six times as fast, and always the first of equals.
    return away.argmin(1) if away.is_cuda else torch.from_numpy(away.numpy().argmin(1))


@dataclass(frozen=True)
class Rate:
    """All that one rate of a codebook is made of.

    Parameters
    ----------
    dc_steps : float32 [P']
        Step of the DC on each of the first axes; the rest of the DC is dropped.
    bands : groups of the low, middle and high band
    source : Automaton
        States: the tables of the DC, the groups of the bands in order, and one that has a single symbol.
    dc_states : int64 [P']
    """

    dc_steps: Tensor
    bands: tuple[tuple[Group, ...], ...]
    source: Automaton
    dc_states: NDArray[np.int64]

    def on(self, device: torch.device) -> "Rate":
        """The same with its tensors on a device."""
        bands = tuple(tuple(group.on(device) for group in band) for band in self.bands)
        return replace(self, dc_steps=self.dc_steps.to(device), bands=bands)

    def states(self, counts: tuple[int, ...]) -> NDArray[np.int64]:
        """The states of a grid's symbols in order, given how many coefficients each band has: int64 [n]."""
        parts, first = [self.dc_states], self.source.states - 1 - sum(map(len, self.bands))
        for groups, count in zip(self.bands, counts, strict=True):
            parts.append(np.tile(np.arange(first, first + len(groups)), count))
            first += len(groups)
        return np.concatenate(parts)


@dataclass(frozen=True)
class TokenCodebook:
    """A codebook of C channels and P axes.

    Parameters
    ----------
    arrays : by name, with the types of `DTYPES`
        ``means`` and ``deviations`` [C] of the tokens; ``rotation`` [P, C], orthonormal axes of the channels in
        deviations; ``variances`` [P] of the tokens along them; ``edges`` [2] of the bands, see
        `freqq.transforms.bands`. For each rate (R = `RATES`, the coarsest first): ``distortions`` [R]; ``dc_steps`` and
        ``dc_tables`` [R, P], 0 for an axis that the DC lacks, and which of ``dc_frequencies`` [T, `MOST_WORDS`] it
        takes; ``groups`` [R, 3], how many groups each band has. For each group in order: ``widths`` and ``sizes``, its
        axes and words. For each word: its values in ``words`` and its frequency in ``frequencies``.
    """

    arrays: dict[str, NDArray[Any]]

    @cached_property
    def file(self) -> bytes:
        """The codebook as a safetensors file, the same for the same codebook."""
        return save({name: np.ascontiguousarray(self.arrays[name], dtype) for name, dtype in DTYPES.items()})

    @cached_property
    def id(self) -> bytes:
        """What streams call it."""
        return codebook_id(self.file)

    @property
    def channels(self) -> int:
        """C."""
        return len(self.arrays["means"])

    @cached_property
    def edges(self) -> tuple[float, float]:
        """Upper edges of the low and the middle band."""
        low, mid = self.arrays["edges"].tolist()
        return low, mid

    @cached_property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """``means`` [C], ``deviations`` [C] and ``rotation`` [P, C], float32."""
        means, deviations, rotation = (
            torch.from_numpy(self.arrays[name].astype(np.float32)) for name in ("means", "deviations", "rotation")
        )
        return means, deviations, rotation

    def on(self, device: torch.device) -> "TokenCodebook":
        """The same with its tensors on a device. They move once, not for each page: a wide one has 64 MB of axes."""
        if device.type == "cpu":
            return self
        if device not in self._elsewhere:
            made = TokenCodebook(self.arrays)
            made.__dict__.update(
                file=self.file,
                tensors=tuple(tensor.to(device) for tensor in self.tensors),
                rates=tuple(rate.on(device) for rate in self.rates),
            )
            self._elsewhere[device] = made
        return self._elsewhere[device]

    @cached_property
    def _elsewhere(self) -> dict[torch.device, "TokenCodebook"]:
        return {}

    @cached_property
    def rates(self) -> tuple[Rate, ...]:
        """The rates, the coarsest first."""
        return tuple(self._rate(rate) for rate in range(RATES))

    def _rate(self, rate: int) -> Rate:
        arrays = self.arrays
        steps, counts = arrays["dc_steps"][rate], arrays["groups"].astype(np.int64)
        coded = int(np.count_nonzero(steps))
        tables = list(arrays["dc_frequencies"].astype(np.int64))
        bands, group = [], int(counts[:rate].sum())
        for count in counts[rate].tolist():
            band, axis = [], 0
            for words, table in self._learned[group : group + count]:
                last = axis + words.shape[1]
                biases = word_biases(words, torch.from_numpy(table).float(), float(arrays["distortions"][rate]))
                band.append(Group(slice(axis, last), words, biases))
                tables.append(table)
                axis = last
            bands.append(tuple(band))
            group += count
        source = _automaton([*tables, np.ones(1, np.int64)])
        return Rate(
            torch.from_numpy(steps[:coded].copy()), tuple(bands), source, arrays["dc_tables"][rate, :coded].astype(int)
        )

    @cached_property
    def _learned(self) -> list[tuple[Tensor, NDArray[np.int64]]]:
        """The words [K, d] and frequencies [K] of all groups in order."""
        widths, sizes = (self.arrays[name].astype(np.int64) for name in ("widths", "sizes"))
        words = np.split(self.arrays["words"].astype(np.float32), np.cumsum(widths * sizes))
        tables = np.split(self.arrays["frequencies"].astype(np.int64), np.cumsum(sizes))
        return [
            (torch.from_numpy(part.reshape(size, width)), table)
            for part, table, width, size in zip(words[:-1], tables[:-1], widths, sizes, strict=True)
        ]


def _automaton(tables: list[NDArray[np.int64]]) -> Automaton:
    """One state a table. What follows what is not said: places tell the states."""
    sizes = np.array(list(map(len, tables)))
    nowhere = np.zeros(sizes.sum(), np.int64)
    symbols = np.concatenate([np.arange(size) for size in sizes]).astype(np.uint16)
    return Automaton(np.concatenate([[0], np.cumsum(sizes)]), symbols, np.concatenate(tables), nowhere, nowhere)


def read_token_codebook(path: Path) -> TokenCodebook:
    """Read a codebook's file. Nothing in it is trusted.

    Raises
    ------
    UserError
        If it cannot be read, or is no codebook of tokens.
    """
    data, arrays = read_arrays(path, "codebook of tokens", DTYPES, _fault)
    book = TokenCodebook(arrays)
    book.__dict__["file"] = data
    return book


def _fault(arrays: dict[str, NDArray[Any]]) -> str:
    """What keeps arrays from being a codebook; nothing if they are one."""
    for name in DTYPES:
        if not np.isfinite(arrays[name]).all():
            return f"its {name} are not all numbers"
    shape = {name: array.shape for name, array in arrays.items()}
    rotation, widths = arrays["rotation"], arrays["widths"].astype(np.int64)
    if rotation.ndim != 2 or 0 in rotation.shape or rotation.shape[0] > rotation.shape[1]:
        return "its rotation is out of bounds"
    axes, channels = rotation.shape
    if not shape["means"] == shape["deviations"] == (channels,) or shape["variances"] != (axes,):
        return "its statistics do not fit its rotation"
    if arrays["deviations"].min() <= 0 or arrays["variances"].min() <= 0:
        return "its deviations are out of bounds"
    if shape["edges"] != (len(BANDS) - 1,) or not 0 <= arrays["edges"][0] <= arrays["edges"][1] <= 1:
        return "its band edges are out of bounds"
    if shape["distortions"] != (RATES,) or arrays["distortions"].min() <= 0:
        return "its distortions are out of bounds"
    steps, tables, table = arrays["dc_steps"], arrays["dc_tables"], arrays["dc_frequencies"]
    if not steps.shape == tables.shape == (RATES, axes) or table.ndim != 2 or table.shape[1] != MOST_WORDS:
        return "its DC does not fit its rotation"
    # Steps of 0 come last, so that the DC is coded on the first axes.
    if steps.min() < 0 or (np.diff((steps > 0).astype(int), axis=1) > 0).any() or tables.max() >= len(table):
        return "its DC is out of bounds"
    sizes, groups = arrays["sizes"].astype(np.int64), arrays["groups"].astype(np.int64)
    if groups.shape != (RATES, len(BANDS)) or not widths.shape == sizes.shape == (groups.sum(),):
        return "its groups do not fit its rates"
    if len(widths) and (widths.min() < 1 or sizes.min() < 1 or sizes.max() > MOST_WORDS):
        return "its groups are out of bounds"
    ends = np.concatenate([[0], np.cumsum(groups)])
    if any(widths[first:end].sum() > axes for first, end in pairwise(ends)):
        return "its groups have more axes than its rotation"
    if shape["words"] != ((widths * sizes).sum(),) or shape["frequencies"] != (sizes.sum(),):
        return "its words do not fit its groups"
    starts = np.cumsum(sizes) - sizes
    totals = np.add.reduceat(arrays["frequencies"].astype(np.int64), starts) if len(sizes) else np.zeros(0)
    sums = np.concatenate([totals, table.sum(1, dtype=np.int64)])
    if (sums != 1 << TABLE_BITS).any() or table.min() < 1 or (len(sizes) and arrays["frequencies"].min() < 1):
        return "its frequencies are out of bounds"
    return ""
