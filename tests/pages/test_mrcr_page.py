"""A page of MRCR as Glyph's own evaluation renders it, beside the same chat rendered here.

The page is Glyph's own example, in Verdana. Neither it nor the font is a part of this repository: a test skips where
what it needs is missing. Without the font, its widths are recovered from the page as well as lines of known text tell
them, and set here the text must break into the same lines.
"""

import json
import os
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from matplotlib.font_manager import findSystemFonts
from numpy.typing import NDArray
from PIL import Image

from freqq.data.sample import Sample, Turn
from freqq.pages.fonts import widths
from freqq.pages.glyph import GlyphConfig
from freqq.pages.markup import paragraphs, words
from freqq.pages.typeset import marked_lines
from freqq.runs.rendering import Rendering

PAGE = Path(os.environ.get("GLYPH_PAGE", Path(__file__).parents[3] / "shared" / "data" / "glyph_mrcr_page.png"))
VERDANA = [path for path in findSystemFonts() if Path(path).name.lower() == "verdana.ttf"]
needs_page = pytest.mark.skipif(not PAGE.is_file(), reason=f"{PAGE} is not there")
needs_font = pytest.mark.skipif(not VERDANA, reason="Verdana is not installed")

# How many words each line of the page has; several spaces in a row are part of a word.
LINES = [
    int(count)
    for count in (
        "6 16 22 21 17 20 19 14 16 17 17 20 17 18 23 19 21 10 8 17 17 20 20 17 17 19 19 17 16 16 18 17 18 17 19 17 16 "
        "19 19 18 17 21 19 6 8 16 21 19 17 20 19 21 7 6 21 17 7 7 8 5 18 19 17 17 18 17 14 17 17 16 22 18 4 6 20 18 17 "
        "16 13 17 19 "
    ).split()
]
FIRST_ROW, PITCH, DESCENT, LEFT, ROOM = 18, 10, 2, 16, 563.0
FURTHER = "remaining melody\nthat is on no page but the next"


def chat() -> Sample:
    """The messages that the page shows; the last one goes on."""
    messages = json.loads((Path(__file__).parent / "mrcr_page.json").read_text("utf-8"))
    messages[-1]["content"] += FURTHER
    turns = tuple(Turn(message["role"], message["content"]) for message in messages)
    return Sample("2needle-0", 2, "", turns, "", "", "")


def page() -> NDArray[np.uint8]:
    return np.asarray(Image.open(PAGE).convert("L"))


@lru_cache
def right_edges() -> list[int]:
    """How far right of their left edge the ink of the page's lines reaches, in px."""
    ink = page() < 250
    rows = [ink[FIRST_ROW + PITCH * n : FIRST_ROW + PITCH * n + PITCH - DESCENT] for n in range(len(LINES))]
    return [int(np.flatnonzero(row.any(axis=0)).max()) + 1 - LEFT for row in rows]


def page_lines() -> list[str]:
    """The text of the page's lines."""
    text = re.sub("  +", lambda run: "\xa0" * len(run[0]), Rendering(line_breaks="literal").text(chat()))
    pieces = re.split("([ \n])", text)
    found = []
    for count in LINES:
        found.append("".join(pieces[: 2 * count - 1]).replace("\xa0", " "))
        del pieces[: 2 * count]
    return found


class Recovered(dict[str, float]):
    """Widths of characters that make the page's lines as wide as they are, else those of a font of like proportions."""

    def __init__(self) -> None:
        super().__init__()
        usual, lines = widths("DejaVuSans", 9.0), page_lines()
        chars = sorted(set("".join(lines)) - {"\n"})
        counts = np.array([[line.count(char) for char in chars] for line in lines], float)
        before = np.array([usual[char] for char in chars])
        wanted = np.array(right_edges()) + 0.6 - counts @ before  # a letter ends some way before its advance does
        moved = np.linalg.solve(counts.T @ counts + 0.1 * np.eye(len(chars)), counts.T @ wanted)
        self.update(zip(chars, before + moved, strict=True))
        self["\xa0"] = self.space = self[" "]

    def __missing__(self, word: str) -> float:
        return sum(self[char] for char in word)


@needs_page
def test_line_breaks_of_the_page_follow_from_the_widths_of_its_lines():
    config = GlyphConfig()
    (paragraph,) = paragraphs(Rendering(line_breaks="literal").text(chat()), config.newline_markup, whole=True)
    lines = marked_lines(words(paragraph, config.newline), *config.line_widths, Recovered())  # type: ignore[arg-type]
    shown = ["".join([text for _, text in next(lines).parts]).replace("\xa0", " ") for _ in LINES]
    assert shown == page_lines()


@needs_page
def test_lines_stand_where_those_of_the_page_do():
    ours = next(Rendering(line_breaks="literal").pages(chat()))
    assert len(ours.lines) == len(LINES)
    assert ours.pixels.shape[0] == page().shape[0]
    for pixels in (ours.pixels, page()):
        inked = np.flatnonzero((pixels < 250).any(axis=1))
        assert (inked[0], inked[-1] // PITCH) == (FIRST_ROW, (FIRST_ROW + PITCH * len(LINES)) // PITCH)
        assert pixels.shape[1] == np.flatnonzero((pixels < 250).any(axis=0))[-1] + 1 + GlyphConfig().margin_x


@needs_page
@needs_font
def test_the_page_is_matched_to_the_pixel():
    rendering = Rendering.read(None, font=VERDANA[0], line_breaks="literal")
    ours = next(rendering.pages(chat()))
    np.testing.assert_array_equal(ours.pixels, page())
