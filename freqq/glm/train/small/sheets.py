"""Crops of pages in Glyph's look, with the place of every character on them.

A page is cut into cells of 28 x 28 px, one merged vision token each. Within a cell a character stands in one of `ROWS`
rows (the lines of 72 dpi are 10 px apart, so no two share a row) and `COLUMNS` columns of 2 px, by its centre.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from freqq.glm.train.architecture import CELL
from freqq.glm.train.small.text import CHARACTERS, KINDS, Split, text
from freqq.pages.atlas import atlas
from freqq.pages.glyph import GlyphConfig
from freqq.pages.glyph_pages import paint_blocks, runs_of
from freqq.pages.pagination import Block, flow

ROWS, COLUMNS = 3, 14
SLOTS = ROWS * COLUMNS

DPIS = (72.0, 78.0, 84.0, 96.0, 108.0, 120.0, 132.0, 144.0)
"""Resolutions of training; a fixed few, since each has glyphs of its own to be drawn."""

STRETCH = 0.024
"""The image processor makes a page's sides multiples of 28 px: a side of 588 px changes by up to 14 px."""

ID = np.zeros(128, np.int64)
for _i, _character in enumerate(CHARACTERS):
    ID[ord(_character)] = _i


@dataclass(frozen=True)
class Written:
    """The characters of some crops, one an array element, in reading order within a crop.

    ``crop``; ``row``, ``column``: the cell row times `ROWS` plus the row within it, likewise the column; ``other``: the
    nearest column beside it, or -1 outside the crop; ``character``: index into `CHARACTERS`; ``whole``: False where the
    crop cuts the line.
    """

    crop: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    other: NDArray[np.int64]
    character: NDArray[np.int64]
    whole: NDArray[np.bool_]

    def where(self, chosen: NDArray[np.bool_]) -> "Written":
        """Only the chosen characters."""
        return Written(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def lines(self) -> NDArray[np.int64]:
        """One number for all characters of a line of a crop."""
        return self.crop * 4096 + self.row


@dataclass(frozen=True)
class Crops:
    """``pixels`` uint8 [B, 28 rows, 28 columns], ``dpi`` float [B], and what is written on them."""

    pixels: NDArray[np.uint8]
    dpi: NDArray[np.float64]
    written: Written


def look(dpi: float, width: int, height: int, margin: float = 10.0, top: float = 10.0) -> GlyphConfig:
    """Glyph's look on a sheet of a size in px, nothing cropped; margins in points."""
    point = 72 / dpi
    return GlyphConfig(
        page_size=(width * point - 1e-6, height * point - 1e-6),
        dpi=dpi,
        margin_x=margin,
        margin_y=top,
        auto_crop_width=False,
        auto_crop_last_page=False,
    )


def sheet(
    rng: random.Random,
    dpi: float,
    rows: int,
    columns: int,
    crops: int,
    split: Split,
    kinds: tuple[str, ...] = KINDS,
    top: float = 10.0,
) -> Crops:
    """One tall page, resampled as the image processor would, cut into `crops` crops of rows x columns cells."""
    width, height = CELL * columns, CELL * rows * crops
    stretch = [1 + rng.uniform(-STRETCH, STRETCH) if rng.random() < 0.7 else 1.0 for _ in range(2)]
    drawn_width, drawn_height = (round(side / s) for side, s in zip((width, height), stretch, strict=True))
    config = look(dpi, drawn_width, drawn_height, rng.uniform(0, 10), top)
    scale = dpi / 72
    characters = int(drawn_width / (5.0 * scale) * drawn_height / (10 * scale)) + 60
    blocks = next(flow(text(rng, int(characters * 1.1), split, kinds), config))
    pixels = paint_blocks(blocks, config)
    if pixels.shape != (height, width):
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    factors = width / drawn_width, height / drawn_height
    return Crops(
        pixels.reshape(crops, CELL * rows, width),
        np.full(crops, dpi),
        _written(blocks, config, factors, rows, columns, crops),
    )


@dataclass(frozen=True)
class PlacedRun:
    """Characters beside each other, in px of the resampled page: their ``centre`` [n], and of their line the height
    that stands for it (``middle``), its ``top`` and ``bottom``."""

    text: str
    centre: NDArray[np.float64]
    middle: float
    top: float
    bottom: float

    @property
    def row(self) -> int:
        """Row of slots on the page."""
        return int(self.middle // (CELL / ROWS))

    @property
    def column(self) -> NDArray[np.int64]:
        """Columns of slots on the page."""
        return np.floor(self.centre / (CELL / COLUMNS)).astype(np.int64)


def placed(blocks: tuple[Block, ...], config: GlyphConfig, factors: tuple[float, float]) -> Iterator[PlacedRun]:
    """What a page shows, in reading order; `factors` are what its width and height were resampled by."""
    em = config.font_size * config.scale
    glyphs = atlas(config.font_path, em)
    for block in blocks:
        for runs in runs_of(block, config, 0).values():
            for run in runs:
                shown = run.text.replace("\xa0", " ")
                advances = glyphs.thousandths[glyphs.slots(shown)] * 0.001 * em
                if run.word_space:
                    advances = advances + run.word_space * np.array([c == " " for c in shown])
                pen = np.concatenate([[0.0], np.cumsum(advances)]) + run.x
                centre = (pen[:-1] + pen[1:]) / 2 * factors[0]
                heights = (run.baseline + share * em for share in (-0.27, -0.78, 0.24))
                yield PlacedRun(shown, centre, *(height * factors[1] for height in heights))


def _written(
    blocks: tuple[Block, ...], config: GlyphConfig, factors: tuple[float, float], rows: int, columns: int, crops: int
) -> Written:
    high = CELL * rows
    found = []
    for run in placed(blocks, config, factors):
        crop = int(run.middle // high)
        if not 0 <= crop < crops:
            continue
        whole = run.top >= crop * high and run.bottom <= (crop + 1) * high
        found.append(line_of(run, crop, rows, columns, whole))
    return written_of(found)


def line_of(run: PlacedRun, crop: int, rows: int, columns: int, whole: bool) -> NDArray[np.int64]:
    """The fields of `Written` of those characters of a run that stand on a crop, [n, 6]."""
    column = run.column
    beside = np.where(run.centre / (CELL / COLUMNS) - column < 0.5, column - 1, column + 1)
    inside = (column >= 0) & (column < columns * COLUMNS)
    line = np.full((len(run.text), 6), crop)
    line[:, 1] = run.row - crop * rows * ROWS
    line[:, 2], line[:, 4] = column, ID[np.frombuffer(run.text.encode("latin1"), np.uint8)]
    line[:, 3] = np.where((beside >= 0) & (beside < columns * COLUMNS), beside, -1)
    line[:, 5] = whole
    return line[inside]


def written_of(lines: list[NDArray[np.int64]]) -> Written:
    """What `line_of` gave of all lines, together."""
    values = np.concatenate(lines) if lines else np.zeros((0, 6), np.int64)
    return Written(*values.T[:5], values[:, 5].astype(bool))


def batch(
    rng: random.Random, dpis: tuple[float, ...], rows: int, columns: int, crops: int, split: Split,
    kinds: tuple[str, ...] = KINDS, top: float = 10.0,
) -> Crops:  # fmt: skip
    """`crops` crops at each resolution."""
    sheets = [sheet(rng, dpi, rows, columns, crops, split, kinds, top) for dpi in dpis]
    return Crops(
        np.concatenate([s.pixels for s in sheets]),
        np.concatenate([s.dpi for s in sheets]),
        joined([s.written for s in sheets], crops),
    )


def joined(parts: Sequence[Written], crops: int) -> Written:
    """What is written on several groups of so many crops."""
    values = []
    for i, w in enumerate(parts):
        values.append([w.crop + i * crops, w.row, w.column, w.other, w.character, w.whole])
    return Written(*(np.concatenate(column) for column in zip(*values, strict=True)))
