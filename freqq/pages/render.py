"""Chat text to page images: greedy word wrap with exact advances, glyphs from a pre-rasterised atlas."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from freqq.pages.page import Line, Page
from freqq.pages.style import Style, font_file

PHASES = 4
"""Glyphs are rasterised at quarter-pixel x phases, as poppler does; finer is not visible at reading sizes."""


class Atlas:
    """Glyphs of one font at one size, rasterised once each, and their exact advances.

    Glyph boxes are as high as the font's ascent plus descent; ``shift`` is how far a box starts left of its pen.
    """

    def __init__(self, font: str, size: float) -> None:
        self._font = ImageFont.truetype(font_file(font), size, layout_engine=ImageFont.Layout.BASIC)
        # Advances are hinted to whole pixels at small sizes; at 64 times the size they are exact to 1/64 px.
        self._ruler = ImageFont.truetype(font_file(font), size * 64, layout_engine=ImageFont.Layout.BASIC)
        ascent, descent = self._font.getmetrics()
        self.height = ascent + descent
        self._advances: dict[str, float] = {}
        self._glyphs: dict[tuple[str, int], tuple[NDArray[np.uint8], int]] = {}

    def advance(self, char: str) -> float:
        """How far the pen moves for one character, in pixels."""
        if char not in self._advances:
            self._advances[char] = self._ruler.getlength(char) / 64
        return self._advances[char]

    def width(self, text: str) -> float:
        """The advance of a whole text, in pixels."""
        return sum(map(self.advance, text))

    def glyph(self, char: str, phase: int) -> tuple[NDArray[np.uint8], int]:
        """Ink (0 none, 255 full) of a character whose pen stands ``phase / PHASES`` px right of a whole pixel."""
        key = (char, phase)
        if key not in self._glyphs:
            pad = 2
            box = Image.new("L", (int(self.advance(char)) + 2 * pad + 3, self.height), 0)
            ImageDraw.Draw(box).text((pad + phase / PHASES, 0), char, font=self._font, fill=255)
            self._glyphs[key] = (np.asarray(box), pad)
        return self._glyphs[key]


@lru_cache(maxsize=32)
def atlas(font: str, size: float) -> Atlas:
    """The atlas of a font and size, kept for the whole process."""
    return Atlas(font, size)


def wrap(text: str, width: float, glyphs: Atlas) -> list[str]:
    """Break a text greedily at spaces into lines of at most `width` px; a word that is longer is broken anywhere."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line, used = "", 0.0
        for word in paragraph.split(" "):
            needed = glyphs.width(word)
            space = glyphs.advance(" ") if line else 0.0
            if line and used + space + needed > width:
                lines.append(line)
                line, used, space = "", 0.0, 0.0
            while needed > width:
                fits = 1
                while fits < len(word) and glyphs.width(word[: fits + 1]) <= width:
                    fits += 1
                lines.append(word[:fits])
                word = word[fits:]
                needed = glyphs.width(word)
            line = f"{line} {word}" if line else word
            used += space + needed
        lines.append(line)
    return lines


def layout(messages: Iterable[str], style: Style) -> Iterator[tuple[Line, ...]]:
    """Place wrapped messages on pages, from top to bottom; yields one tuple of lines a page."""
    glyphs = atlas(style.font, style.font_size)
    width = style.width - style.margin_left - style.margin_right
    bottom = style.height - style.margin_bottom
    page: list[Line] = []
    top = style.margin_top
    for message in messages:
        if page:
            top += style.paragraph_gap
        for text in wrap(message, width, glyphs):
            if top + style.line_height > bottom:
                yield tuple(page)
                page, top = [], style.margin_top
            page.append(Line(style.margin_left, top, text))
            top += style.line_height
    if page:
        yield tuple(page)


def draw(lines: tuple[Line, ...], style: Style) -> Page:
    """Draw one page, black on white; each line's glyphs are centred in its box."""
    glyphs = atlas(style.font, style.font_size)
    ink = np.zeros((style.height, style.width), np.uint8)
    for line in lines:
        pen = float(line.x)
        top = round(line.top + (style.line_height - glyphs.height) / 2)
        for char in line.text:
            if char != " ":
                quarter = round(pen * PHASES)
                glyph, shift = glyphs.glyph(char, quarter % PHASES)
                _stamp(ink, glyph, quarter // PHASES - shift, top)
            pen += glyphs.advance(char)
    return Page(255 - ink, lines)


def _stamp(ink: NDArray[np.uint8], glyph: NDArray[np.uint8], left: int, top: int) -> None:
    height, width = ink.shape
    y0, y1 = max(top, 0), min(top + glyph.shape[0], height)
    x0, x1 = max(left, 0), min(left + glyph.shape[1], width)
    if y0 < y1 and x0 < x1:
        part = ink[y0:y1, x0:x1]
        np.maximum(part, glyph[y0 - top : y1 - top, x0 - left : x1 - left], out=part)


def render(messages: Iterable[str], style: Style) -> Iterator[Page]:
    """Render messages to pages, one at a time, so that a long chat needs no more memory than a page.

    Parameters
    ----------
    messages : iterable of str
        Each starts on a new line. Newlines inside a message are kept.
    style : Style
    """
    pages = layout(messages, style)
    lines = next(pages, None)
    while lines is not None:
        following = next(pages, None)
        yield draw(lines, style if following or not style.crop_to else _cropped(lines, style))
        lines = following


def _cropped(lines: tuple[Line, ...], style: Style) -> Style:
    used = lines[-1].top + style.line_height + style.margin_bottom
    return replace(style, height=min(style.height, math.ceil(used / style.crop_to) * style.crop_to))
