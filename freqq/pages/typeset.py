"""Break words into lines like reportlab's ``Paragraph``, and align them.

Breaking is greedy. A line may be too long by 5 % of its spaces' widths; it is then drawn with narrower spaces. A word
longer than a line is cut: as much as fits is added to the current line, and the rest fills the next lines. reportlab
has two such loops, one for plain text and one for markup, which differ in details; hence there are two here.
"""

from collections.abc import Iterator
from typing import NamedTuple

from freqq.pages.fonts import Widths
from freqq.pages.markup import Part, Word, merged, plain_words


class SetLine(NamedTuple):
    """A line of text.

    ``parts``: texts and their colours; ``extra``: the rest of its width (pt; negative: spaces must shrink); ``words``:
    their number, for justification; ``forced``: a line break of the markup ended it; ``cut``: the line without the
    first piece of a long word that it ends with; ``within``: it is only a middle piece of a long word.
    """

    parts: tuple[Part, ...]
    extra: float
    words: int
    forced: bool
    cut: "Cut | None" = None
    within: bool = False

    def word_space(self, alignment: str, last: bool) -> float:
        """The addition to every space of the line (pt), positive or negative."""
        if alignment == "JUSTIFY":
            kept = self.forced or -1e-8 < self.extra <= 1e-8 or (last and self.extra > -1e-8)
        else:
            kept = self.extra > -1e-8
        if kept:
            return 0.0
        gaps = self.words + sum(text.count("\xa0") for _, text in self.parts) - 1
        return self.extra / gaps if gaps > 0 else 0.0

    def shift(self, alignment: str) -> float:
        """The line's start right of its indent (pt)."""
        gaps = self.words + sum(text.count("\xa0") for _, text in self.parts) - 1
        if self.extra <= -1e-8 and gaps > 0:
            return 0.0
        return self.extra * {"CENTER": 0.5, "RIGHT": 1.0}.get(alignment, 0.0)


class Cut(NamedTuple):
    """A line without the first piece of a long word, that piece, its width, and the width available (pt)."""

    before: SetLine
    head: tuple[Part, ...]
    width: float
    room: float


def rejoin(lines: list[SetLine], later: float) -> list[SetLine]:
    """The lines of a page that ends within a paragraph; all but the first are `later` wide.

    reportlab breaks such lines again and treats their pieces of a long word as one word. If there are only two pieces
    that together fit on a line, the word is not cut but moves to the second line.
    """
    if lines[-1].cut is not None and not lines[-1].cut.width:
        return [*lines[:-1], lines[-1].cut.before]  # the first piece was empty
    if len(lines) < 2 or lines[-2].cut is None or not lines[-1].within:
        return lines
    *others, first, second = lines
    before, head, width, room = first.cut  # type: ignore[misc]
    width += later - second.extra
    if width > room:
        return lines
    return [*others, before, SetLine(merged([*head, *second.parts]), later - width, 1, False)]


SPACE_SHRINKAGE = 0.05

END: Word = (), False


class _Piece(str):
    """A part of a word that is too long for a line."""


def plain_lines(text: Part, first: float, later: float, widths: Widths) -> Iterator[SetLine]:
    """Break a text of one fragment into lines of `first` points, then `later`."""
    color, words = text[0], plain_words(text[1])
    space = widths.space
    shrink = SPACE_SHRINKAGE * space
    room, used = first, -space
    line: list[str] = []

    def done(extra: float) -> SetLine:
        return SetLine(((color, " ".join(line)),), extra, len(line), False)

    before = done(room)
    full = False  # the line ends with the current word
    pieces: Iterator[str] = iter(())
    while True:
        word = next(pieces, None)
        if word is None and (word := next(words, None)) is None:
            break
        if not word:
            full = True  # no part of a long word fits on this line
        width = widths[word]
        needed = used + space + width
        allowed = room + shrink * len(line)
        if needed > allowed and not full and width > room and not isinstance(word, _Piece):
            before = done(room - used)
            pieces = _cut_plain(word, used + space, room, later, widths)
            full = True
            continue
        if needed <= allowed or not line or full:
            if word:
                line.append(word)
            used = needed
            if full:
                yield done(room - used)._replace(cut=Cut(before, ((color, word),), width, room))
                line, used, room, full = [], -space, later, False
        else:
            yield done(room - used)._replace(within=isinstance(word, _Piece))
            line, used, room = [word], width, later
    if line:
        yield done(room - used)


def _cut_plain(word: str, used: float, room: float, later: float, widths: Widths) -> Iterator[str]:
    start = 0
    for at, char in enumerate(word):
        width = widths[char]
        used += width
        if used > room and (at > start or width <= later):
            yield _Piece(word[start:at])
            start, used, room = at, width, later
    yield _Piece(word[start:])


def marked_lines(words: Iterator[Word | None], first: float, later: float, widths: Widths) -> Iterator[SetLine]:
    """Break words of markup (None is a line break) into lines of `first` points, then `later`."""
    space = widths.space
    room = first
    parts: list[Part] = []
    blank = False  # because of an empty word, the line already ends with a space
    used = pending = 0.0  # widths of the line and of the space before the next word
    count = spaces = 0
    pieces: Iterator[Word | None] | None = None  # of a long word
    before = SetLine((), room, 0, False)
    texts: tuple[Part, ...] = ()
    width = 0.0
    while True:
        word = next(words if pieces is None else pieces, END)
        if word is END:
            if pieces is None:
                break
            pieces = None
            continue
        if not parts:
            used = pending = 0.0
            count = spaces = 0
            blank = False
        if word is None:
            if pieces is None:
                yield SetLine(merged(parts), room - used, count, True)
            else:
                yield SetLine(merged(parts), room - used, count, False, Cut(before, texts, width, room))
            parts, room = [], later
            continue
        texts, spaced = word
        color, text = texts[0]
        width = widths[text] if len(texts) == 1 else sum([widths[text] for _, text in texts])
        needed = used + pending + width if width > 0 else used
        if needed > room and needed > room + SPACE_SHRINKAGE * (pending + spaces * space):
            if width > room and pieces is None:
                before = SetLine(merged(parts), room - used, count, False)
                pieces = _cut_marked(word, room - pending - used, later, widths)
                continue
            if count > 0:
                yield SetLine(merged(parts), room - used, count, False, within=pieces is not None)
                room, parts = later, []
                used, count, spaces, blank = width, 1, 0, False
                pending = space if spaced else 0.0
                parts += texts
                continue
        if text or any(text for _, text in texts):
            count += 1
        if parts:
            same = parts[-1][0] == color
            if pending and not blank:
                spaces += 1
                parts.append((parts[-1][0], " "))
                blank = same and not text
            elif not same or text:
                blank = False
        parts += texts
        used = needed
        pending = space if spaced else 0.0
    if parts:
        yield SetLine(merged(parts), room - used, count, False)


def _cut_marked(word: Word, room: float, later: float, widths: Widths) -> Iterator[Word | None]:
    """The pieces of a long word; the line ends after the first."""
    parts: list[Part] = []
    used = total = 0.0
    head = True
    for color, text in word[0]:
        start = 0
        for at, char in enumerate(text):
            width = widths[char]
            used += width
            if used > room and (total or width <= later):
                yield (*parts, (color, text[start:at])), False
                if head:
                    yield None
                    head = False
                parts, start = [], at
                room, used, total = later, width, 0.0
            total += width
        parts.append((color, text[start:]))
    yield tuple(parts), word[1]
    if head:
        yield None
