"""Chat text to page images that look like Glyph's: typeset as by reportlab, drawn as by poppler."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from freqq.pages.atlas import atlas, pdf_number
from freqq.pages.draw import Pixels, clearness, tint
from freqq.pages.fonts import Widths, widths
from freqq.pages.glyph import BLACK, WHITE, GlyphConfig
from freqq.pages.markup import Color
from freqq.pages.page import Line, Page, Run
from freqq.pages.pagination import Block, flow

REPLACEMENT = "\ufffd"
INK_TOLERANCE = 5
"""A pixel that differs from the page's corner by more than this is not blank (Glyph's rule for cropping)."""


def render_glyph(text: str, config: GlyphConfig | None = None, one_paragraph: bool = False) -> Iterator[Page]:
    """Render a text like Glyph's pipeline, one page at a time, so that a long chat needs little memory.

    As in Glyph, soft hyphens and zero-width spaces are removed, and white space other than newlines and runs of spaces
    is shown as one space. A character without a glyph is drawn as the font's "missing" box and is U+FFFD in the page's
    lines.

    Parameters
    ----------
    text : str
        ``\\n`` separates lines.
    config : GlyphConfig, optional
    one_paragraph : bool
        Make one paragraph of the text and a tab four no-break spaces, as in Glyph's evaluation scripts
        (``word2png_mrcr.py`` etc.). By default as in its general function (``word2png_function.py``): a paragraph for
        every 30 lines, and a tab is a space.

    Yields
    ------
    Page
        uint8 [height, width] if all the configuration's colours are gray, else [height, width, 3].

    Raises
    ------
    UserError
        If the font cannot be used, or a page has no room for two lines.
    """
    config = config or GlyphConfig()
    measure = widths(config.font_path, config.font_size)
    pages = flow(text, config, one_paragraph)
    blocks = next(pages)
    while blocks is not None:
        following = next(pages, None)
        pixels = _finish(paint_blocks(blocks, config), config, last=following is None)
        yield Page(pixels, lines_of(blocks, config, measure), config)
        blocks = following  # type: ignore[assignment]


def lines_of(blocks: tuple[Block, ...], config: GlyphConfig, measure: Widths) -> tuple[Line, ...]:
    """The lines of text of a page, in px of the finished page."""
    lines = []
    for block in blocks:
        for number, line in enumerate(block.lines):
            text = "".join([text for _, text in line.parts]).replace("\xa0", " ")
            for char in measure.lacking(text):
                text = text.replace(char, REPLACEMENT)
            x = config.text_left + config.left_indent + line.x
            top = config.page_size[1] - block.top + number * config.leading
            x_px, top_px = x * config.scale * config.horizontal_scale, top * config.scale
            lines.append(Line(x_px, top_px, text.rstrip(" ")))
    return tuple(lines)


def paint_blocks(blocks: tuple[Block, ...], config: GlyphConfig) -> Pixels:
    """Draw a page, paragraph by paragraph: a later paragraph's background covers ink that extends into it."""
    width, height = config.page_pixels
    page = np.full((height, width) if _is_gray(config) else (height, width, 3), 255, np.uint8)
    white = _is_white(config)
    if not white:
        _fill(page, config.page_bg_color, config, 0.0, 0.0, *config.page_size)
    # How far ink may extend above and below its line: enough for any letter and its accents.
    reach = int(2 * config.font_size * config.scale) + 2
    inked = 0  # rows before this may have ink
    for block in blocks:
        if not white or inked:
            _paint_box(page, block, config)
        if not block.lines:
            continue
        first, last = _baseline(block, 0, config), _baseline(block, len(block.lines) - 1, config)
        top = min(max(0, int(first) - reach), height)
        bottom = min(max(top, int(last) + reach), height)
        for color, runs in runs_of(block, config, top).items():
            clear = clearness(runs, width, bottom - top, config.font_path, config.font_size, config.dpi)
            under = min(max(top, inked), bottom) if white else bottom
            page[top:under] = tint(clear[: under - top], color, page[top:under])
            page[under:bottom] = _on_white(clear[under - top :], color, page.ndim)
            inked = max(inked, bottom)
    return page


def _on_white(clear: Pixels, color: Color, dimensions: int) -> Pixels:
    inked = clear if color == BLACK else tint(clear, color, WHITE)
    return inked if inked.ndim == dimensions else inked[..., None]


def _baseline(block: Block, number: int, config: GlyphConfig) -> float:
    """A line's baseline from the page's top (px), with the roundings of a PDF and its renderer."""
    scale, leading = config.scale, config.leading
    foot = config.page_size[1] * scale - pdf_number(block.bottom) * scale
    return foot - (pdf_number(len(block.lines) * leading - config.font_size) - number * leading) * scale


def runs_of(block: Block, config: GlyphConfig, top: int) -> dict[Color, list[Run]]:
    """The runs of each colour, in px from the page's left and from row `top`."""
    scale, size = config.scale, config.font_size
    left = pdf_number(config.text_left) * scale
    runs: dict[Color, list[Run]] = {}
    for number, line in enumerate(block.lines):
        x = pdf_number(config.left_indent) + line.x
        baseline = _baseline(block, number, config) - top
        for color, text in line.parts:
            if text:
                run = Run(x * scale + left, baseline, text, line.word_space * scale)
                runs.setdefault(color or config.font_color, []).append(run)
            if len(line.parts) > 1:
                glyphs = atlas(config.font_path, size * scale)
                slots = glyphs.slots(text)
                x += float(glyphs.thousandths[slots].sum()) * 0.001 * size
                x += line.word_space * (text.count(" ") + text.count("\xa0"))
    return runs


def _paint_box(page: Pixels, block: Block, config: GlyphConfig) -> None:
    """A paragraph's background and border."""
    pad, half, height = config.border_padding, config.border_width / 2, config.page_size[1]
    left = config.text_left + config.left_indent - pad
    right = config.page_size[0] - config.text_left - config.right_indent + pad
    top, bottom = height - block.top - pad, height - block.bottom + pad
    if config.para_bg_color is not None:
        _fill(page, config.para_bg_color, config, left, top, right, bottom)
    if config.para_border_color is not None and config.border_width:
        for y in (top, bottom):
            _fill(page, config.para_border_color, config, left - half, y - half, right + half, y + half)
        for x in (left, right):
            _fill(page, config.para_border_color, config, x - half, top - half, x + half, bottom + half)


def _fill(page: Pixels, color: Color, config: GlyphConfig, *edges: float) -> None:
    """Fill a rectangle (left, top, right, bottom in pt), rounded to whole pixels as in Splash."""
    x0, y0, x1, y1 = (max(0, math.floor(edge * config.scale + 0.5)) for edge in edges)
    page[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = color[0] if page.ndim == 2 else color


def _is_gray(config: GlyphConfig) -> bool:
    colors = [config.font_color, config.page_bg_color, config.para_bg_color, config.para_border_color]
    colors += [tag for tag in config.newline.values() if isinstance(tag, tuple)]
    return all(color is None or len(set(color)) == 1 for color in colors)


def _is_white(config: GlyphConfig) -> bool:
    """Whether a page is white except for its text."""
    border = config.para_border_color is not None and config.border_width > 0
    return config.page_bg_color == WHITE and config.para_bg_color in (None, WHITE) and not border


def _finish(pixels: Pixels, config: GlyphConfig, last: bool) -> Pixels:
    """Scale a page's width and crop its blank edges, as in Glyph."""
    height, width = pixels.shape[:2]
    if config.horizontal_scale != 1:
        width = int(width * config.horizontal_scale)
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height)))
    crop_height = config.auto_crop_last_page and last
    if not (config.auto_crop_width or crop_height):
        return pixels
    gray = pixels if pixels.ndim == 2 else np.asarray(Image.fromarray(pixels).convert("L"))
    corner = float(np.median(gray[:2, :2]))
    low, high = corner - INK_TOLERANCE, corner + INK_TOLERANCE

    def marked(axis: int) -> NDArray[np.intp]:
        return np.flatnonzero((gray.min(axis) < low) | (gray.max(axis) > high))

    if config.auto_crop_width and (columns := marked(0)).size:
        pixels = pixels[:, : round(min(width, columns[-1] + 1 + config.margin_x))]
    if crop_height and (rows := marked(1)).size:
        pixels = pixels[: round(min(height, rows[-1] + config.margin_y))]
    return np.ascontiguousarray(pixels)
