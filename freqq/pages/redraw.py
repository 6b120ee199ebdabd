"""Redraw a page from its lines and its style."""

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
from freqq.pages.glyph import FRAME_PADDING, GlyphConfig, json_key
from freqq.pages.glyph_pages import lines_of, paint_blocks
from freqq.pages.markup import LINES_PER_PARAGRAPH
from freqq.pages.page import Line, Page
from freqq.pages.pagination import Block, flow
from freqq.pages.style import Style


def style_json(style: GlyphConfig | Style) -> str:
    """The non-default values of a style as JSON: ``{"glyph": {...}}`` with Glyph's keys, or ``{"px": {...}}``.

    Empty for the style of Glyph's evaluation.
    """
    values = asdict(style)
    given = {f.name: values[f.name] for f in fields(style) if values[f.name] != f.default or f.default is MISSING}
    if isinstance(style, Style):
        return _compact({"px": given})
    return _compact({"glyph": {json_key(n): _glyph_value(n, v) for n, v in given.items()}}) if given else ""


def parse_style(text: str) -> GlyphConfig | Style:
    """The style that `style_json` wrote.

    Raises
    ------
    UserError
        If it is not a style, or cannot be used.
    """
    if not text:
        return GlyphConfig()
    try:
        [(kind, values)] = json.loads(text).items()
        if kind == "px":
            return Style().with_overrides(values)
        if kind == "glyph":
            return GlyphConfig.from_mapping(values)
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise UserError("this is not a page style") from error
    raise UserError(f"unknown kind of page style {kind!r}")


def redraw(text: str, style: GlyphConfig | Style, starts: Sequence[int] = ()) -> Page:
    """Draw a page of these lines (separated by newlines) in a style, not cropped.

    Reproduces the original pixels for px-based styles. For Glyph's, it does so if paragraphs are not justified, spaced
    or indented at their first lines, pages are not scaled, newlines have no visible mark, every character has a glyph,
    and the original text has no Chinese; otherwise some letters are displaced.

    Parameters
    ----------
    starts : sequence of int
        The lines after the first that begin a paragraph, in order (`paragraph_starts`).

    Raises
    ------
    UserError
        If the style cannot be drawn.
    """
    if isinstance(style, Style):
        lines, top, beginning = [], style.margin_top, set(starts)
        for number, line in enumerate(text.split("\n")):
            top += style.paragraph_gap if number in beginning else 0
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
    """The lines after the first that begin a paragraph, for `redraw`; empty if unknown.

    Found from the pixels, because positions of lines are unknown for a page that was read from a file. In a px-based
    style, there is a gap above a paragraph. In Glyph's, a paragraph's background covers descenders of the line above. A
    paragraph has `LINES_PER_PARAGRAPH` lines of the chat, and at least as many on the page: if there are more starts
    than that, the page differs for another reason.
    """
    style = page.style
    if isinstance(style, Style):
        return tuple(_after_gaps(page, style)) if style.paragraph_gap else ()
    if style is None:
        return ()
    drawn = redraw(page.text, style).pixels
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
    """The lines below a gap. For several lines without ink, only the sum of their gaps matters.

    Compares each line with ink at all its possible positions and takes the best match, the highest of equal ones.
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
    """The number of pixels of a page that differ from a line drawn at its position; infinite if the line has no ink."""
    drawn = draw((line,), style).pixels[: seen.shape[0], : seen.shape[1]]
    if drawn.min(initial=BLANK) == BLANK:
        return math.inf
    rows = slice(round(line.top), round(line.top) + style.line_height)
    return int(np.count_nonzero(drawn[rows] != seen[: drawn.shape[0], : drawn.shape[1]][rows]))


def _glyph_value(name: str, value: Any) -> Any:
    return "#" + bytes(value).hex() if name.endswith("color") and value is not None else value


def _compact(values: dict[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":"))
