"""Texts on pages in Glyph's look, resampled as the image processor would, with the place of each character."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from freqq.glm.train.architecture import CELL
from freqq.glm.train.small.sheets import COLUMNS, ROWS, STRETCH, Written, line_of, look, placed, written_of
from freqq.pages.glyph_pages import paint_blocks
from freqq.pages.pagination import flow


@dataclass(frozen=True)
class PageText:
    """A text on pages: ``pixels`` [P, H, W], each character's token and slot in it, -1 where it is not drawn, and what
    is written on each page, a crop of its own."""

    pixels: NDArray[np.uint8]
    cell: NDArray[np.int64]
    slot: NDArray[np.int64]
    written: Written


def page_text(rng: random.Random, text: str, dpi: float, pages: int, rows: int, columns: int) -> PageText | None:
    """A text on pages of rows x columns cells, resampled as the image processor would; None if it needs more."""
    width, height = CELL * columns, CELL * rows
    stretch = [1 + rng.uniform(-STRETCH, STRETCH) if rng.random() < 0.7 else 1.0 for _ in range(2)]
    drawn_width, drawn_height = (round(side / s) for side, s in zip((width, height), stretch, strict=True))
    config = look(dpi, drawn_width, drawn_height, rng.uniform(0, 10), rng.uniform(0, 10))
    shown = []
    for blocks in flow(text, config):
        shown.append(blocks)
        if len(shown) > pages:
            return None
    pixels = np.full((pages, height, width), 255, np.uint8)
    cell, slot = (np.full(len(text), -1) for _ in range(2))
    at, lines = 0, []
    for page, blocks in enumerate(shown):
        painted = paint_blocks(blocks, config)
        if painted.shape != (height, width):
            painted = np.asarray(Image.fromarray(painted).resize((width, height), Image.Resampling.BICUBIC))
        pixels[page] = painted
        for run in placed(blocks, config, (width / drawn_width, height / drawn_height)):
            lines.append(line_of(run, 0, rows, columns, True))
            lines[-1][:, 0] = page
            for character, c in zip(run.text, run.column, strict=True):
                while text[at] != character:
                    if text[at] not in " \n":
                        raise AssertionError(f"{text[at]!r} of {text!r} is not on its page")
                    at += 1
                cell[at] = (page * rows + run.row // ROWS) * columns + c // COLUMNS
                slot[at] = (run.row % ROWS) * COLUMNS + c % COLUMNS
                at += 1
    return PageText(pixels, cell, slot, written_of(lines))


def cells(page: PageText, start: int, stop: int) -> Sequence[int]:
    """The tokens that show some characters, in the order of reading."""
    return list(dict.fromkeys(int(c) for c in page.cell[start:stop] if c >= 0))
