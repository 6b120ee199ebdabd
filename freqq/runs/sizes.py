"""What pages and grids weigh."""

import hashlib
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from freqq.pages.page import Page
from freqq.runs.settings import ALL, NONE, SAMPLED
from freqq.tokens.grid import CompressedGrid

CELL = 28
"""Side of a vision token's cell in pixels: patches of 14, merged 2 x 2."""

BFLOAT16_BYTES = 2


def png_bytes(page: Page) -> int:
    """Size of a page as an optimised PNG file."""
    file = io.BytesIO()
    Image.fromarray(page.pixels).save(file, "png", optimize=True)
    return file.getbuffer().nbytes


def inked_cells(page: Page) -> tuple[int, int]:
    """How many of a page's cells (cut ones at the right and bottom count) hold a pixel that is not white, and all."""
    dark = page.pixels < 255
    ink = dark if dark.ndim == 2 else dark.any(axis=2)
    rows = np.logical_or.reduceat(ink, np.arange(0, ink.shape[0], CELL), axis=0)
    cells = np.logical_or.reduceat(rows, np.arange(0, ink.shape[1], CELL), axis=1)
    return int(cells.sum()), cells.size


def density(pages: Sequence[Page]) -> float:
    """Fraction of all cells of some pages that hold any ink."""
    counts = [inked_cells(page) for page in pages]
    return sum(inked for inked, _ in counts) / sum(cells for _, cells in counts)


def cells(grid: Tensor) -> int:
    """Tokens of a full grid [h, w, C]."""
    return grid.shape[0] * grid.shape[1]


def raw_bytes(grid: Tensor) -> int:
    """A full grid [h, w, C] in bfloat16."""
    return grid.numel() * BFLOAT16_BYTES


def stored_bytes(compressed: CompressedGrid) -> int:
    """What was really stored for a page: its stream, or the features in bfloat16 if nothing was coded."""
    if compressed.payload is not None:
        return len(compressed.payload)
    return compressed.features.numel() * BFLOAT16_BYTES


def counted_pages(which: str, seed: int, id: str, pages: int) -> Sequence[int]:
    """The pages of a sample whose stored tokens are counted, by `Settings.sizes`: the same for all arms and shards."""
    if which == ALL:
        return range(pages)
    if which == NONE:
        return ()

    def order(page: int) -> bytes:
        return hashlib.sha256(f"{seed} {id} {page}".encode()).digest()

    return sorted(sorted(range(pages), key=order)[: -(-pages // SAMPLED)])
