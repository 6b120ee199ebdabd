"""What a codebook of block patterns knows: which pattern a block is or resembles, and which ones follow each other."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from freqq.coding.rans import ESCAPE, MOST_BITS, Automaton, scaled
from freqq.transforms.bands import radial_frequency
from freqq.transforms.blocks import basis

CHUNK = 512
"""Blocks that are compared with all patterns at a time."""

HALF_WEIGHT = 0.5
"""The fraction of the highest radial frequency at which an error weighs half of what it weighs at DC."""


@dataclass(frozen=True)
class Patterns:
    """Block patterns uint8 [K, h, w], all different."""

    array: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.array)

    @property
    def block(self) -> tuple[int, int]:
        """Height and width of a pattern."""
        return self.array.shape[1], self.array.shape[2]

    @cached_property
    def _hashes(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        found = hash_blocks(self.array.reshape(len(self.array), -1))
        order = np.argsort(found, kind="stable")
        return found[order], order

    @cached_property
    def _features(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        features = weighted_dct(self.array)
        return features, (features**2).sum(1)

    def exact(self, blocks: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The pattern that each block [n, h, w] equals, or -1."""
        hashes, order = self._hashes
        flat = blocks.reshape(len(blocks), -1)
        at = np.minimum(np.searchsorted(hashes, hash_blocks(flat)), len(order) - 1)
        index = order[at]
        same = (self.array.reshape(len(order), -1)[index] == flat).all(1)
        return np.where(same, index, -1)

    def nearest(self, blocks: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The pattern nearest to each block [n, h, w], and how far it is."""
        index, distance = self.ranked(blocks, 1)
        return index[:, 0], distance[:, 0]

    def ranked(self, blocks: NDArray[np.uint8], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The `count` nearest patterns of each block [n, h, w], nearest first, and how far they are.

        A distance is the root mean square of the weighted DCT of the difference, in gray levels.
        """
        features, squares = self._features
        index = np.empty((len(blocks), count), np.int64)
        distance = np.empty((len(blocks), count), np.float32)
        for first in range(0, len(blocks), CHUNK):
            part = slice(first, first + CHUNK)
            own = weighted_dct(blocks[part])
            score = squares - 2 * (own @ features.T)
            best = np.argpartition(score, count - 1, 1)[:, :count] if count > 1 else score.argmin(1)[:, None]
            away = np.sqrt(((features[best] - own[:, None]) ** 2).mean(2))
            order = away.argsort(1, kind="stable")
            index[part] = np.take_along_axis(best, order, 1)
            distance[part] = np.take_along_axis(away, order, 1)
        return index, distance


def hash_blocks(flat: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Whole numbers under 2^53 that are equal for equal blocks [n, d] and seldom for others, by one matrix product."""
    factors = np.random.default_rng(0).integers(1, (1 << 44) // flat.shape[1], flat.shape[1]).astype(np.float64)
    return flat.astype(np.float64) @ factors


def weighted_dct(blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The orthonormal DCT of blocks [n, h, w], weighted by frequency, as [n, h·w].

    What makes letters alike is low and middle frequencies; the weight falls as 1 / (1 + (f / f_half)²), f as in
    `radial_frequency`.
    """
    _, h, w = blocks.shape
    weight = 1 / (1 + (radial_frequency(h, w) / HALF_WEIGHT) ** 2)
    coefficients = basis(h) @ blocks.astype(np.float64) @ basis(w).T
    return (coefficients * weight).reshape(len(blocks), h * w).astype(np.float32)


FEWEST_BITS, SPARE = 7, 3
"""A state's frequencies add up to at least 2^7, and to at least 2^3 times the number of its entries."""

ESCAPES = 0.5
"""An escape counts half as often as a state has entries: half of Witten and Bell's estimate for what is new."""


class Contexts:
    """The states of an automaton: 0 the beginning of a row, then one for each symbol, then one for each listed pair.

    Parameters
    ----------
    symbols : int
        How many there are: 0 .. `symbols` - 1.
    pairs : int [P, 2], ascending
        Pairs of symbols that have a state of their own.
    """

    def __init__(self, symbols: int, pairs: NDArray[np.integer]) -> None:
        self.symbols = symbols
        self._pairs = pairs[:, 0].astype(np.int64) * symbols + pairs[:, 1]
        self.last = np.concatenate([[-1], np.arange(symbols), pairs[:, 1].astype(np.int64)])
        """The last symbol of each state, -1 at the beginning."""

    def state(self, before: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
        """The state after two symbols; -1 for what is before the beginning."""
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


def learn(rows: NDArray[np.integer], symbols: int, pair_least: int) -> tuple[NDArray[np.int64], Automaton]:
    """The pairs that are contexts, and the automaton, for rows [n, steps] of symbols 0 .. `symbols` - 1.

    A pair is a context if it was seen at least `pair_least` times: one that was seen less often has too few followers
    and escapes too often.
    """
    padded = np.concatenate([np.full((len(rows), 2), -1), rows.astype(np.int64)], 1)
    before, last, now = (padded[:, i : padded.shape[1] - 2 + i].ravel() for i in range(3))
    inside = before >= 0
    keys, counts = np.unique(before[inside] * symbols + last[inside], return_counts=True)
    keys = keys[counts >= pair_least]
    pairs = np.stack([keys // symbols, keys % symbols], 1)
    contexts = Contexts(symbols, pairs)
    keys, counts = np.unique(contexts.state(before, last) * symbols + now, return_counts=True)
    return pairs, contexts.automaton(*_with_escapes(keys // symbols, keys % symbols, counts, len(contexts.last)))


def _with_escapes(
    state: NDArray[np.int64], symbol: NDArray[np.int64], counts: NDArray[np.int64], states: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Entries sorted by state, an escape at the end of each, as starts, symbols and frequencies."""
    entries = np.bincount(state, minlength=states)
    starts = np.concatenate([[0], np.cumsum(entries + 1)])
    escapes = starts[1:] - 1
    named = np.full(starts[-1], ESCAPE)
    weights = np.empty(starts[-1])
    listed = np.ones(starts[-1], bool)
    listed[escapes] = False
    named[listed], weights[listed] = symbol, counts
    weights[escapes] = np.maximum(ESCAPES * entries, ESCAPES)
    frequencies = np.empty(starts[-1], np.int64)
    for first, end in pairwise(starts):
        bits = min(MOST_BITS, max(FEWEST_BITS, int(end - first - 1).bit_length() + SPARE))
        frequencies[first:end] = scaled(weights[first:end], bits)
    return starts, named, frequencies


def independent(counts: NDArray[np.floating]) -> Automaton:
    """An automaton of one state: symbols that do not depend on one another, with the given positive counts."""
    size = len(counts)
    nowhere = np.zeros(size, np.int64)
    return Automaton(np.array([0, size]), np.arange(size, dtype=np.uint16), scaled(counts, MOST_BITS), nowhere, nowhere)
