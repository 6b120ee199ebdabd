"""A page once more, from its lines and its style."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, asdict, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from freqq.errors import UserError
from freqq.pages.atlas import BLANK
from freqq.pages.draw import draw
from freqq.pages.fonts import widths
from freqq.pages.glyph import FRAME_PADDING, GlyphConfig
from freqq.pages.glyph_pages import lines_of, paint_blocks
from freqq.pages.markup import LINES_PER_PARAGRAPH
from freqq.pages.page import Line, Page
from freqq.pages.pagination import Block, flow
from freqq.pages.style import Style


def style_json(style: GlyphConfig | Style) -> str:
    """What differs from the defaults of a style, as JSON: ``{"glyph": {...}}`` with Glyph's keys, or ``{"px": {...}}``.

    Empty for Glyph's evaluation.
    """
    values = asdict(style)
    given = {f.name: values[f.name] for f in fields(style) if values[f.name] != f.default or f.default is MISSING}
    if isinstance(style, Style):
        return _compact({"px": given})
    return _compact({"glyph": {_key(n): _glyph_value(n, v) for n, v in given.items()}}) if given else ""


def parse_style(text: str) -> GlyphConfig | Style:
    """The style that `style_json` wrote.

    Raises
    ------
    UserError
        If it is none, or one that cannot be used.
    """
    if not text:
        return GlyphConfig()
    try:
        [(kind, values)] = json.loads(text).items()
        if kind == "px":
            return Style().with_overrides(values)
        if kind == "glyph":
            return GlyphConfig.from_mapping(values)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError("this is not a page style") from error
    raise UserError(f"unknown kind of page style {kind!r}")


def draw_again(text: str, style: GlyphConfig | Style, starts: Sequence[int] = ()) -> Page:
    """Draw a page that shows these lines (newlines between) in a style, not cropped.

    The same pixels as before for all pages of the px-based style, and for Glyph's if paragraphs are neither justified,
    nor apart, nor indented at their first lines, pages are not scaled, newlines have no visible mark, every character
    has a glyph, and the text that the page is of has no Chinese. Else the letters are those, but not all at their old
    places.

    Parameters
    ----------
    starts : sequence of int
        Which lines but the first begin a paragraph, in order (`paragraph_starts`).

    Raises
    ------
    UserError
        If the style cannot be drawn.
    """
    if isinstance(style, Style):
        lines, top = [], style.margin_top
        for number, line in enumerate(text.split("\n")):
            top += style.paragraph_gap if number in starts else 0
            lines.append(Line(style.margin_left, top, line))
            top += style.line_height
        return draw(tuple(lines), style)
    config = replace(style, newline_markup="<br/>")
    placed = [line for block in next(flow(text, config)) for line in block.lines]
    blocks: list[Block] = []
    bottom = config.margin_y + (config.page_size[1] - 2 * config.margin_y) - FRAME_PADDING
    for first, end in pairwise([0, *starts, len(placed)]):
        above, bottom = bottom, bottom - (end - first) * config.leading
        blocks.append(Block(above, bottom, tuple(placed[first:end])))
    pixels = paint_blocks(tuple(blocks), config)
    return Page(pixels, lines_of(tuple(blocks), config, widths(config.font_path, config.font_size)), config)


def paragraph_starts(page: Page) -> tuple[int, ...]:
    """Which lines but the first begin a paragraph, for `draw_again`; none if it cannot be told.

    The pixels tell: where lines stand is not known of a page that was read from a file. On a page of the px-based
    style, paragraphs stand further from the line above. On one of Glyph's, a paragraph's paper covers what hangs into
    it from the line above. It has `LINES_PER_PARAGRAPH` lines of the chat, and at least as many on the page: more
    starts mean that the page differs for another reason.
    """
    style = page.style
    if isinstance(style, Style):
        return tuple(_after_gaps(page, style)) if style.paragraph_gap else ()
    if style is None:
        return ()
    drawn = draw_again(page.text, style).pixels
    if drawn.ndim != page.pixels.ndim:
        return ()
    height, width = (min(a, b) for a, b in zip(drawn.shape, page.pixels.shape[:2], strict=False))
    rows = np.flatnonzero((drawn[:height, :width] != page.pixels[:height, :width]).reshape(height, -1).any(axis=1))
    first = (style.margin_y + FRAME_PADDING) * style.scale
    numbers = np.unique(np.floor((rows + 0.5 - first) / (style.leading * style.scale)).astype(int))
    last = page.text.count("\n")
    starts = tuple(int(n) for n in numbers if 0 < n <= last)
    return starts if len(starts) <= last // LINES_PER_PARAGRAPH + 1 else ()


def _after_gaps(page: Page, style: Style) -> Iterator[int]:
    """Which lines a gap is above. Of several lines without ink only the sum of their gaps shows, and only that counts.

    Each line with ink is looked for at the places where it can stand; the highest that fits best is its own, for above
    it there is no ink that is not a line before.
    """
    seen = page.pixels if page.pixels.ndim == 2 else np.asarray(Image.fromarray(page.pixels).convert("L"))
    blank, top = 0, style.margin_top
    for number, text in enumerate(page.text.split("\n")):
        places = [top + some * style.paragraph_gap for some in range(min(blank + 1, number) + 1)]
        misfits = [_misfit(seen, Line(style.margin_left, place, text), style) for place in places]
        if misfits[0] == math.inf:
            blank += 1
        else:
            gaps = misfits.index(min(misfits))
            yield from range(number - gaps + 1, number + 1)
            top, blank = places[gaps], 0
        top += style.line_height


def _misfit(seen: NDArray[np.uint8], line: Line, style: Style) -> float:
    """How many pixels of a page differ from a line that is drawn in its place; infinite if no ink of it shows."""
    drawn = draw((line,), style).pixels[: seen.shape[0], : seen.shape[1]]
    if drawn.min(initial=BLANK) == BLANK:
        return math.inf
    rows = slice(round(line.top), round(line.top) + style.line_height)
    return int(np.count_nonzero(drawn[rows] != seen[: drawn.shape[0], : drawn.shape[1]][rows]))


def _key(name: str) -> str:
    return name.replace("_", "-")


def _glyph_value(name: str, value: Any) -> Any:
    return "#" + bytes(value).hex() if name.endswith("color") and value is not None else value


def _compact(values: dict[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":"))
