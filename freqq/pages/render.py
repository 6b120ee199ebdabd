"""Render messages to pages of a px-based style: greedy word wrap with exact advances."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

from freqq.pages.atlas import Atlas, atlas
from freqq.pages.draw import draw
from freqq.pages.page import Line, Page
from freqq.pages.style import Style


def wrap(text: str, width: float, glyphs: Atlas) -> list[str]:
    """Break a text greedily at spaces into lines of at most `width` px; a longer word is broken anywhere."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line, used = "", 0.0
        for word in paragraph.split(" "):
            needed = glyphs.width(word)
            space = glyphs.width(" ") if line else 0.0
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
    """Place wrapped messages on pages, from top to bottom; yields one tuple of lines per page."""
    glyphs = atlas(style.font, style.font_size, hinted=True)
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


def render(messages: Iterable[str], style: Style) -> Iterator[Page]:
    """Render messages to pages, one at a time, so that a long chat needs only the memory of one page.

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
