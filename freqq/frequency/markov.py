"""Contexts of one and two symbols: learning them from rows of symbols, and the automaton that they make."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from freqq.frequency.ans import ESCAPE, MOST_BITS, Automaton, scaled

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
