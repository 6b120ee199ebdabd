"""The turns of a long chat, compressed while nobody reads them: a run holds hundreds of chats of a megabyte each."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import overload

import numpy as np
import zstandard

from freqq.data.sample import Turn

SHORT = 20_000
"""Characters up to which a chat stays as it is."""

LEVEL = 1
"""Of Zstandard: text becomes a third of its size, at some hundred MB/s."""


@dataclass(frozen=True, eq=False)
class PackedTurns(Sequence[Turn]):
    """A sequence of turns that is parsed when one is asked for; the last that was is kept for the next.

    Parameters
    ----------
    roles : tuple of str
    ends : tuple of int
        Where each turn's text ends among the characters of all.
    packed : bytes
        All texts, one after another, as UTF-8 by Zstandard.
    alphabet : str
        The characters that occur, each once.
    """

    roles: tuple[str, ...]
    ends: tuple[int, ...]
    packed: bytes
    alphabet: str

    @classmethod
    def of(cls, turns: Sequence[Turn]) -> "PackedTurns":
        """Turns, compressed."""
        text = "".join([turn.text for turn in turns])
        return cls(
            tuple(turn.role for turn in turns),
            tuple(accumulate(len(turn.text) for turn in turns)),
            bytes(memoryview(zstandard.ZstdCompressor(LEVEL).compress(text.encode()))),  # a copy: its own has room left
            _characters(text),
        )

    @overload
    def __getitem__(self, index: int) -> Turn: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Turn]: ...
    def __getitem__(self, index: int | slice) -> Turn | Sequence[Turn]:
        return _unpacked(self.roles, self.ends, self.packed)[index]

    def __iter__(self) -> Iterator[Turn]:
        return iter(_unpacked(self.roles, self.ends, self.packed))

    def __len__(self) -> int:
        return len(self.roles)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Sequence) and tuple(self) == tuple(other))

    def __hash__(self) -> int:
        return hash(self.packed)


def packed(turns: Sequence[Turn]) -> Sequence[Turn]:
    """The same turns, compressed if they are long."""
    if isinstance(turns, PackedTurns) or sum(len(turn.text) for turn in turns) <= SHORT:
        return turns
    return PackedTurns.of(turns)


def alphabet(turns: Sequence[Turn]) -> str:
    """All characters of some turns; of long chats each once."""
    return turns.alphabet if isinstance(turns, PackedTurns) else "".join([turn.text for turn in turns])


def _characters(text: str) -> str:
    """The characters of a text, each once, ascending. A set takes three times as long."""
    occurs = np.zeros(sys.maxunicode + 1, bool)
    occurs[np.frombuffer(text.encode("utf-32-le"), "<u4")] = True
    return np.flatnonzero(occurs).astype("<u4").tobytes().decode("utf-32-le")


@lru_cache(maxsize=1)
def _unpacked(roles: tuple[str, ...], ends: tuple[int, ...], packed: bytes) -> tuple[Turn, ...]:
    text = zstandard.decompress(packed).decode()
    places = pairwise((0, *ends))
    return tuple(Turn(role, text[start:end]) for role, (start, end) in zip(roles, places, strict=True))
