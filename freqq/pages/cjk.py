"""Break lines of text with Chinese characters as reportlab's ``Paragraph`` does with ``wordWrap="CJK"``.

Glyph uses this mode for texts with any character of U+4E00 to U+9FFF. Lines break between any two characters, except
that a line which overflows within Latin letters breaks at the last space or Chinese character of its second half, and
that some characters cannot start a line and hang into the margin.

When a paragraph continues on another page, reportlab joins its lines and breaks it again. It adds a space to each line
that does not end with one, so that Chinese text gets stray spaces and other line breaks from its second page on. In a
paragraph of a single fragment it adds none, and strips the spaces at the ends of lines.
"""

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

from freqq.pages.fonts import Widths
from freqq.pages.markup import Color, Part, Tag, fragments, lone_fragment, merged
from freqq.pages.typeset import SetLine

FUZZ = 1e-6
IDEOGRAPHIC = "\u3000"
"""From this character on, reportlab treats characters as Asian."""

CANNOT_START = frozenset(
    "!',.:;?\")]、。」』】〕］）々―ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮーヵヶ゛゜・ヽヾゝゞ‐°′″℃￠％‰"
)
SPACES = frozenset(" \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000")
"""Unicode's category Zs."""


class Break(NamedTuple):
    """Start and end of a line in a text, the rest of its width (pt), and whether it is the last line."""

    start: int
    end: int
    extra: float
    last: bool = False


def is_cjk(text: str) -> bool:
    """Whether Glyph uses ``wordWrap="CJK"`` for a text."""
    return re.search("[\u4e00-\u9fff]", text) is not None


def break_text(text: str, measure: Widths, first: float, later: float) -> Iterator[Break]:
    """Break a text without line breaks into lines of `first` points, then `later`; the last one may be empty."""
    widths = [measure[char] for char in text]
    start, room, count = 0, first, 64
    while True:
        end, used = start, 0.0
        while True:  # add widths in reportlab's order until they exceed the line
            sums = list(accumulate(widths[end : end + count], initial=used))[1:]
            over = bisect_right(sums, room + FUZZ)
            if over < len(sums) or not sums:
                break
            end, used = end + len(sums), sums[-1]
        if over == len(sums):
            yield Break(start, len(text), room - (sums[-1] if sums else used), last=True)
            return
        end, extra = _turn_back(text, widths, start, end + over + 1, room - sums[over])
        yield Break(start, end, extra)
        count = end - start + 16
        start, room = end, later


def _turn_back(text: str, widths: list[float], start: int, end: int, extra: float) -> tuple[int, float]:
    """The end of a line whose last character before `end` overflows by -`extra`, and the rest of its width."""
    pushed = end - 1  # the character that would begin the next line
    if text[pushed] < IDEOGRAPHIC:
        for at in range(end - 2, (start + end) >> 1, -1):
            if text[at] >= IDEOGRAPHIC or text[at] in SPACES:
                pushed = at + 1
                extra += sum(widths[pushed + 1 : end])
                break
    if text[pushed] in CANNOT_START or pushed == start:
        return pushed + 1, extra
    return pushed, extra + widths[pushed]


@dataclass(frozen=True)
class _Segment:
    """The text between two line breaks of a paragraph.

    ``colors``: one per character; None: the configuration's. ``ending``: the text of the line break, which is empty, or
    a space once the paragraph was broken again; None at the end of the paragraph. ``last``: no line follows this
    segment's.
    """

    text: str
    colors: list[Color | None] | None
    ending: str | None
    last: bool = False

    def parts(self, start: int, end: int) -> tuple[Part, ...]:
        """A piece of the text, split by colour."""
        text = self.text[start:end]
        return ((None, text),) if self.colors is None else merged(zip(self.colors[start:end], text, strict=True))


class CjkLines:
    """The lines of a paragraph that are not placed yet, broken lazily.

    A segment is broken as a whole, so each page of a paragraph without line breaks takes time for all of it.

    Attributes
    ----------
    marked : bool
        Whether the paragraph has more than one fragment.
    """

    def __init__(self, paragraph: str, tags: Mapping[str, Tag], room: tuple[float, float], measure: Widths) -> None:
        alone = lone_fragment(paragraph, tags)
        self.marked = alone is None
        self._first, self._later = room
        self._measure = measure
        self._pages = 0
        self._fresh = _segments(fragments(paragraph, tags), measure) if alone is None else _single(alone)
        self._waiting: deque[_Segment] = deque()  # partly placed on earlier pages
        self._broken: deque[tuple[_Segment, list[Break]]] = deque()  # with the lines not taken yet

    def peek(self, count: int) -> int:
        """The number of remaining lines, at most `count`."""
        there = sum(len(lines) for _, lines in self._broken)
        while there < count and (broken := self._break_next()) is not None:
            self._broken.append(broken)
            there += len(broken[1])
        return min(count, there)

    def take(self, count: int) -> list[SetLine]:
        """The next `count` lines, of those that `peek` counted."""
        taken: list[SetLine] = []
        while self._broken and len(taken) < count:
            segment, lines = self._broken[0]
            some = lines[: count - len(taken)]
            del lines[: len(some)]
            taken += [self._line(segment, line) for line in some]
            if not lines:
                self._broken.popleft()
        return taken

    def part(self, taken: list[SetLine]) -> list[SetLine]:
        """The lines of a page that ends within the paragraph; the remaining ones will be broken again."""
        self._pages += 1
        rest = [(segment, lines) for segment, lines in self._broken if lines]
        self._broken.clear()
        if self.marked and len(rest) == 1 and len(rest[0][1]) == 1 and rest[0][0].last:
            segment, (line,) = rest[0]
            is_break = line.start == line.end
            self.marked = len(segment.parts(line.start, line.end)) + (segment.ending is not None) > 1 + is_break
            if not self.marked and is_break:
                return taken  # a single line break has no line
        self._waiting.extend(self._rejoined(segment, lines) for segment, lines in rest)
        return taken

    def _break_next(self) -> tuple[_Segment, list[Break]] | None:
        if self._waiting:
            segment = self._waiting.popleft()
            return segment, self._break(segment)
        fresh = next(self._fresh, None)
        if fresh is None:
            return None
        segment, lines = fresh, self._break(fresh)
        for _ in range(self._pages):
            rejoined = self._rejoined(segment, lines)
            if (rejoined.text, rejoined.ending) == (segment.text, segment.ending):
                break  # further pages would not change it either
            segment, lines = rejoined, self._break(rejoined)
        return segment, lines

    def _break(self, segment: _Segment) -> list[Break]:
        lines = list(break_text(segment.text, self._measure, self._first, self._later))
        self._first = self._later
        last = lines.pop()
        if segment.ending:
            last = last._replace(extra=last.extra - self._measure[segment.ending])
        if segment.ending is not None or _is_wide(segment.text[last.start :], self._measure):
            lines.append(last)
        return lines

    def _rejoined(self, segment: _Segment, lines: list[Break]) -> _Segment:
        """The rest of a segment for the next page: the given lines, with the spaces that reportlab adds."""
        texts: list[str] = []
        colors: list[Color | None] = []
        for number, line in enumerate(lines, 1):
            text = self._text(segment, line)
            if self.marked and number < len(lines) and not text.endswith(" "):
                text += " "
            texts.append(text)
            if segment.colors is not None:
                own = segment.colors[line.start : line.end]
                colors += (own + own[-1:])[: len(text)]
        ending = segment.ending if segment.last or segment.ending is None else " "
        return replace(segment, text="".join(texts), colors=None if segment.colors is None else colors, ending=ending)

    def _text(self, segment: _Segment, line: Break) -> str:
        text = segment.text[line.start : line.end]
        return text if self.marked or line.last else text.strip()

    def _line(self, segment: _Segment, line: Break) -> SetLine:
        if self.marked:
            forced = line.last and segment.ending is not None
            return SetLine(segment.parts(line.start, line.end), line.extra, 1, forced)
        color = None if segment.colors is None else segment.colors[0]
        return SetLine(((color, self._text(segment, line)),), line.extra, 1, False)


def _single(alone: Part) -> Iterator[_Segment]:
    color, text = alone
    yield _Segment(text, None if color is None else [color] * len(text), None, last=True)


def _segments(found: Iterable[Part | None], measure: Widths) -> Iterator[_Segment]:
    """The segments of a paragraph, without an empty one at its end."""
    held: _Segment | None = None
    parts: list[Part] = []
    for part in found:
        if part is not None:
            parts.append(part)
            continue
        if held is not None:
            yield held
        held, parts = _segment(parts, ""), []
    end = _segment(parts, None)
    if _is_wide(end.text, measure):
        if held is not None:
            yield held
        held = end
    if held is not None:
        yield replace(held, last=True)


def _segment(parts: list[Part], ending: str | None) -> _Segment:
    text = "".join([text for _, text in parts])
    if all(color is None for color, _ in parts):
        return _Segment(text, None, ending)
    return _Segment(text, [color for color, text in parts for _ in text], ending)


def _is_wide(text: str, measure: Widths) -> bool:
    return any(measure[char] for char in text)
