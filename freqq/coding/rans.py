"""Entropy coding of rows of symbols: a Markov source as an automaton, and a range-ANS coder of all rows in parallel.

Asymmetric numeral systems keep a message in one large integer (J. Duda, arXiv:1311.2540; F. Giesen, "Interleaved
entropy coders", arXiv:1402.3392). Here each row of symbols, such as a line of text, has an integer of its own, so numpy
moves all rows one symbol at a time; they share one list of 16-bit words.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

WORD = 16
LOWEST = 1 << WORD
"""Integers stay in 2^16 .. 2^32 - 1."""

MOST_BITS = 16
ESCAPE = 0xFFFF
"""Stands for every symbol that a context does not list."""


PATIENCE = 256
"""How many times likelier another symbol must be to replace one that is listed: it also leads to a rarer state."""


@dataclass(frozen=True)
class Automaton:
    """A source whose next symbol depends on its state; a state lists symbols with their frequencies.

    Parameters
    ----------
    starts : int64 [S + 1]
        Where each state's entries begin.
    symbols : uint16 [E]
        Ascending within a state. `ESCAPE`, the last one, is how a state says "another one".
    frequencies : int64 [E]
        At least 1; those of a state add up to a power of two, of at most `MOST_BITS` bits.
    follows : int64 [E]
        The state after each entry; that of an escape is not read. Rows begin in state 0.
    after : int64 [symbols]
        The state after a symbol that was escaped.
    """

    starts: NDArray[np.int64]
    symbols: NDArray[np.uint16]
    frequencies: NDArray[np.int64]
    follows: NDArray[np.int64]
    after: NDArray[np.int64]
    below: NDArray[np.int64] = field(init=False, repr=False)
    bits: NDArray[np.int64] = field(init=False, repr=False)
    slots: NDArray[np.int32] = field(init=False, repr=False)
    slot_starts: NDArray[np.int64] = field(init=False, repr=False)
    keys: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        totals = np.add.reduceat(self.frequencies, self.starts[:-1])
        bits = np.rint(np.log2(totals)).astype(np.int64)
        states = np.repeat(np.arange(len(totals)), np.diff(self.starts))
        slot_starts = np.concatenate([[0], np.cumsum(totals)[:-1]])
        made = {
            "below": np.cumsum(self.frequencies) - self.frequencies - slot_starts[states],
            "bits": bits,
            "slots": np.repeat(np.arange(len(self.symbols), dtype=np.int32), self.frequencies),
            "slot_starts": slot_starts,
            "keys": states << WORD | self.symbols,
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)

    @property
    def states(self) -> int:
        """How many states there are."""
        return len(self.bits)

    def find(self, state: NDArray[np.int64], symbol: NDArray[np.int64]) -> NDArray[np.int64]:
        """The entry of each symbol in each state, or -1 where it is not listed."""
        key = state << WORD | symbol
        entry = np.searchsorted(self.keys, key)
        np.minimum(entry, len(self.keys) - 1, out=entry)
        return np.where(self.keys[entry] == key, entry, -1)

    def walk(
        self, symbols: NDArray[np.integer], others: NDArray[np.integer] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The entries that spell rows of symbols.

        Parameters
        ----------
        symbols : int [rows, steps]
            A symbol s as s, or as -1 - s to have it escape. With `others`, a row of it.
        others : int [n, m], optional
            A symbol, and what may stand for it; row s is symbol s's. One that is listed is taken before the symbol
            escapes, or if it is `PATIENCE` times likelier.

        Returns
        -------
        entries : int64 [rows, steps]
        escaped : int64 [n]
            The symbols behind the entries that are escapes, step by step, and row by row in a step.
        """
        rows, steps = symbols.shape
        entries = np.empty((steps, rows), np.int64)
        escaped = []
        state = np.zeros(rows, np.int64)
        for step, column in enumerate(symbols.T.astype(np.int64)):
            entry = self.find(state, column) if others is None else self._likeliest(state, column, others)
            missing = np.flatnonzero(entry < 0)
            entry[missing] = self.starts[state[missing] + 1] - 1
            entries[step] = entry
            state = self.follows[entry]
            symbol = column[missing]
            symbol = np.where(symbol < 0, -1 - symbol, symbol if others is None else others[symbol, 0])
            state[missing] = self.after[symbol]
            escaped.append(symbol)
        return entries.T, np.concatenate(escaped)

    def _likeliest(
        self, state: NDArray[np.int64], column: NDArray[np.int64], others: NDArray[np.integer]
    ) -> NDArray[np.int64]:
        candidates = others[column].astype(np.int64)
        candidates[column < 0] = -1  # in no state
        found = self.find(np.repeat(state, candidates.shape[1]), candidates.ravel()).reshape(candidates.shape)
        weight = np.where(found >= 0, self.frequencies[found], 0)
        weight[:, 0] *= PATIENCE
        best = weight.argmax(1)
        return found[np.arange(len(found)), best]


def encode(source: Automaton, entries: NDArray[np.int64]) -> tuple[NDArray[np.uint16], NDArray[np.uint32]]:
    """Rows of entries [rows, steps] as words and the integer that each row's decoder starts from."""
    entry_bits = source.bits[np.repeat(np.arange(source.states), np.diff(source.starts))]
    state = np.full(len(entries), LOWEST, np.int64)
    emitted: list[NDArray[np.int64]] = []
    for entry in entries.T[::-1]:
        frequency, bits = source.frequencies[entry], entry_bits[entry]
        full = np.flatnonzero(state >= frequency << (2 * WORD - bits))
        emitted.append(state[full] & (LOWEST - 1))
        state[full] >>= WORD
        quotient, rest = np.divmod(state, frequency)
        state = (quotient << bits) + rest + source.below[entry]
    words = np.concatenate(emitted[::-1]) if emitted else np.zeros(0)
    return words.astype(np.uint16), state.astype(np.uint32)


def decode(
    source: Automaton,
    words: NDArray[np.uint16],
    states: NDArray[np.uint32],
    steps: int,
    escaped: NDArray[np.int64],
    contexts: NDArray[np.int64] | None = None,
) -> NDArray[np.int64] | None:
    """The symbols [rows, steps] of a message and what escaped in it (as `Automaton.walk` gives it).

    An escaped symbol s comes as -1 - s. None if the words are not those of a message. With `contexts` [rows, steps]
    the state before each symbol is given by its place, and not by the symbols before it.
    """
    state = states.astype(np.int64)
    if (state < LOWEST).any():
        return None
    supply = words.astype(np.int64)
    masks = (np.int64(1) << source.bits) - 1
    symbols = np.empty((steps, len(state)), np.int64)
    word = free = 0
    context = np.zeros(len(state), np.int64)
    for step in range(steps):
        if contexts is not None:
            context = contexts[:, step]
        slot = state & masks[context]
        entry = source.slots[source.slot_starts[context] + slot].astype(np.int64)
        state = source.frequencies[entry] * (state >> source.bits[context]) + slot - source.below[entry]
        context = source.follows[entry]
        symbol = source.symbols[entry].astype(np.int64)
        escapes = np.flatnonzero(symbol == ESCAPE)
        if escapes.size:
            free += escapes.size
            if free > len(escaped):
                return None
            taken = escaped[free - escapes.size : free]
            context[escapes] = source.after[taken]
            symbol[escapes] = -1 - taken
        symbols[step] = symbol
        low = np.flatnonzero(state < LOWEST)
        if low.size:
            word += low.size
            if word > len(supply):
                return None
            state[low] = state[low] << WORD | supply[word - low.size : word]
    whole = word == len(supply) and free == len(escaped) and bool((state == LOWEST).all())
    return symbols.T if whole else None


def scaled(counts: NDArray[np.floating], bits: int) -> NDArray[np.int64]:
    """Positive counts as whole frequencies of at least 1 that add up to 2^bits, as near to proportional as can be."""
    total = 1 << bits
    if len(counts) > total:
        raise ValueError(f"{len(counts)} symbols do not fit into {total} slots")
    exact = counts * ((total - len(counts)) / counts.sum())
    whole = np.floor(exact).astype(np.int64)
    short = total - len(counts) - int(whole.sum())
    whole[np.argsort(whole - exact, kind="stable")[:short]] += 1
    return whole + 1
