"""Place paragraphs on pages like reportlab's ``SimpleDocTemplate``: where each line's pen starts, in points."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from freqq.errors import UserError
from freqq.pages.atlas import pdf_number
from freqq.pages.cjk import CjkLines, is_cjk
from freqq.pages.fonts import Widths, widths
from freqq.pages.glyph import FRAME_PADDING, GlyphConfig
from freqq.pages.markup import Part, Tag, lone_fragment, paragraphs, words
from freqq.pages.typeset import SetLine, marked_lines, plain_lines, rejoin

FUZZ = 1e-6
MAX_LINES = 1 << 14
"""More lines than fit on any page."""


@dataclass(frozen=True)
class PlacedLine:
    """A line of a block: the pen's start right of the block's indent, and the addition to every space (pt)."""

    x: float
    word_space: float
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Block:
    """The part of a paragraph on one page: lines between `top` and `bottom` (pt above the page's lower edge)."""

    top: float
    bottom: float
    lines: tuple[PlacedLine, ...]


class _Lines:
    """The lines of a paragraph that are not placed yet, broken lazily."""

    def __init__(self, paragraph: str, tags: Mapping[str, Tag], room: tuple[float, float], measure: Widths) -> None:
        first, later = room
        alone = lone_fragment(paragraph, tags)
        self.marked = alone is None
        self._broken: Iterator[SetLine] = iter(())
        if alone is None:
            self._broken = marked_lines(words(paragraph, tags), first, later, measure)
        elif text := alone[1].strip(" "):
            self._broken = plain_lines((alone[0], text), first, later, measure)
        self._ahead: list[SetLine] = []
        self._later = later

    def peek(self, count: int) -> int:
        """The number of remaining lines, at most `count`."""
        self._ahead += islice(self._broken, max(0, count - len(self._ahead)))
        return min(count, len(self._ahead))

    def take(self, count: int) -> list[SetLine]:
        """The next `count` lines."""
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken

    def part(self, taken: list[SetLine]) -> list[SetLine]:
        """The lines of a page that ends within the paragraph; a line break at their end moves to the next page."""
        if not taken[-1].forced:
            return rejoin(taken, self._later)
        self._ahead.insert(0, SetLine(((None, ""),), self._later, 0, True))
        return [*taken[:-1], taken[-1]._replace(forced=False)] if taken[-1].parts else taken[:-1]


def flow(text: str, config: GlyphConfig, one_paragraph: bool = False) -> Iterator[tuple[Block, ...]]:
    """Place a text on pages, one at a time; an empty text has one empty page. For `one_paragraph` see `render_glyph`.

    Raises
    ------
    UserError
        If a paragraph needs two lines and a page has no room for them: reportlab avoids single lines.
    """
    measure = widths(config.font_path, config.font_size)
    leading = config.leading
    bottom = config.margin_y + FRAME_PADDING
    start = config.margin_y + (config.page_size[1] - 2 * config.margin_y) - FRAME_PADDING
    blocks: list[Block] = []
    y, after, at_top = start, 0.0, True

    kind: type[CjkLines] | type[_Lines] = CjkLines if is_cjk(text) else _Lines
    for paragraph in paragraphs(text, config.newline_markup, one_paragraph):
        lines = kind(paragraph, config.newline, config.line_widths, measure)
        indent = config.first_line_indent
        fresh, more = False, True
        while more:
            before = 0.0 if at_top else max(config.space_before - after, 0.0)
            room = y - bottom - before
            fitting = min(int((room + FUZZ) / leading), MAX_LINES) if room > 0 else 0
            count = lines.peek(fitting + 1)
            more = count > fitting or room <= 0
            if more:
                count = int(room / leading) if room > 0 else 0
            if more and count <= 1 and fresh:
                raise UserError(
                    f"a page {config.page_size[1]:g} pt high has no room for two lines of {leading:g} pt"
                    " between its margins: make it higher"
                )
            if not more or count > 1:
                taken = lines.take(count)
                ends = not more or taken[-1].forced
                if more:
                    taken = lines.part(taken)
                top = y - before
                y = top - len(taken) * leading
                placed = _place(taken, indent, ends, lines.marked, config.alignment)
                blocks.append(Block(top, y, tuple(placed)))
                y -= config.space_after
                after = config.space_after
                at_top = at_top and y == start
                indent = 0.0
                if more and not lines.peek(1):
                    fresh = False
                    continue  # the rest has no height and needs no further page
            if more:
                yield tuple(blocks)
                blocks = []
                y, after, at_top, fresh = start, 0.0, True, True
    yield tuple(blocks)


def _place(taken: list[SetLine], indent: float, ends: bool, marked: bool, alignment: str) -> Iterator[PlacedLine]:
    """Align the lines of a block. `indent` applies to the first; with `ends`, the last is not justified.

    A PDF moves the pen by rounded differences. They are summed here as in a viewer, because a pen on the other side of
    a quarter of a pixel is drawn differently.
    """
    pen = moved = 0.0  # `moved`: the last operator's move, if the next one will be merged with it
    for number, line in enumerate(taken):
        offset = line.shift(alignment) + (0.0 if number else indent)
        word_space = line.word_space(alignment, ends and number == len(taken) - 1)
        turned = alignment in ("CENTER", "RIGHT") and word_space != 0
        if turned and not marked:
            moved = 0.0
        # A bug of reportlab: for a line of markup that must shrink it does not move the pen there, but moves it back.
        if not (turned and marked) and abs(offset) > FUZZ:
            pen -= moved
            pen += pdf_number(offset + moved)
        yield PlacedLine(pen, pdf_number(word_space), line.parts)
        moved = 0.0
        if abs(offset) > FUZZ:
            moved = pdf_number(-offset)
            pen += moved
