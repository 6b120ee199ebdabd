"""Character-level differences of two texts."""

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

Kind = Literal["equal", "missing", "added", "left out"]

MOST = 4000
"""Characters of each text that are compared, because the time is quadratic."""

ISLAND = 2
"""So few equal characters between two differences are coincidence and become part of the difference."""

CONTEXT = 60
"""Equal characters shown before and after a difference; the rest is only counted."""


@dataclass(frozen=True)
class Piece:
    """A piece of an expected and a given text: in both, only in the first, or only in the second.

    A ``left out`` piece stands for `count` characters that are not shown.
    """

    kind: Kind
    text: str
    count: int = 0

    @property
    def shown(self) -> str:
        """The text; in a difference, line breaks and outer white space are made visible."""
        if self.kind == "equal":
            return self.text
        inner = self.text.strip()
        before, found, after = self.text.partition(inner) if inner else (self.text, "", "")
        return _visible(before) + found.replace("\n", "↵\n") + _visible(after)


def _visible(white: str) -> str:
    return white.replace(" ", "␣").replace("\n", "↵\n").replace("\t", "⇥\t")


def differences(expected: str, given: str) -> list[Piece]:
    """The pieces of two texts in order: equal and missing ones form `expected`, equal and added ones `given`.

    By `difflib` without its junk heuristic.
    """
    matcher = SequenceMatcher(None, expected, given, autojunk=False)
    pieces: list[Piece] = []
    missing = added = ""
    codes = matcher.get_opcodes()
    for number, (tag, a, b, c, d) in enumerate(codes):
        island = tag == "equal" and b - a <= ISLAND and 0 < number < len(codes) - 1
        if tag == "equal" and not island:
            pieces += _changed(missing, added)
            missing = added = ""
            pieces.append(Piece("equal", expected[a:b]))
        else:
            missing += expected[a:b]
            added += given[c:d]
    return pieces + _changed(missing, added)


def shortened(pieces: list[Piece]) -> list[Piece]:
    """Leave out the middle of long equal pieces; the first and last keep only the side next to a change."""
    if all(piece.kind == "equal" for piece in pieces):
        return pieces
    found: list[Piece] = []
    for number, piece in enumerate(pieces):
        before = CONTEXT if number else 0
        after = CONTEXT if number < len(pieces) - 1 else 0
        left_out = len(piece.text) - before - after
        if piece.kind != "equal" or left_out <= CONTEXT:
            found.append(piece)
            continue
        ends = (Piece("equal", piece.text[:before]), Piece("equal", piece.text[len(piece.text) - after :]))
        found += [p for p in (ends[0], Piece("left out", "", left_out), ends[1]) if p.text or p.count]
    return found


def compared(expected: str, given: str) -> list[Piece]:
    """The pieces to show for two texts of any length: their first `MOST` characters, long equal pieces shortened."""
    beyond = max(len(expected), len(given)) - MOST
    pieces = shortened(differences(expected[:MOST], given[:MOST]))
    return [*pieces, Piece("left out", "", beyond)] if beyond > 0 else pieces


def _changed(missing: str, added: str) -> list[Piece]:
    kinds: tuple[tuple[Kind, str], ...] = (("missing", missing), ("added", added))
    return [Piece(kind, text) for kind, text in kinds if text]
