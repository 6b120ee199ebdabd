"""A page with marks that say where its tokens went; apart from other pictures, as it takes torch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from freqq.pages.page import Page
from freqq.report.token_figure import whitened_errors
from freqq.tokens.grid import CompressedGrid, spread

Pixels = NDArray[np.uint8]

LEAST_SIDE = 500
"""Pixels: smaller pages are enlarged by a whole number before marks are drawn, which would cover their letters."""

PAPER, INK = 226, 150
"""Of dropped cells: gray values that their white and their black become, before stripes are drawn over them."""

MARK = (213, 94, 0)
"""Vermilion of Okabe and Ito."""

DARKEST = 0.65
"""How much of the mark covers the cell with the largest error."""


def token_pixels(page: Page, grid: Tensor, compressed: CompressedGrid) -> tuple[Pixels, str]:
    """A page as a token compressor leaves it, RGB, and that in words.

    Dropped cells are pale and striped; a smaller grid is drawn as the outlines of its tokens; where every token is
    kept, each is the more orange the more it changed.

    Parameters
    ----------
    grid : [h, w, C], the page's tokens
    compressed : what is left of them
    """
    h, w, _ = grid.shape
    rgb = _enlarged(page)
    count = len(compressed.features)
    if compressed.kept is not None and count < h * w:
        dropped = np.ones(h * w, bool)
        dropped[compressed.kept.cpu().numpy()] = False
        return _striped(
            rgb, _over(dropped.reshape(h, w), rgb)
        ), f"{count} of {h * w} tokens kept; the others are striped"
    rows, columns = compressed.arranged.shape[:2] if compressed.kept is None else (h, w)
    if (rows, columns) != (h, w):
        return _outlined(rgb, rows, columns), f"{h} × {w} tokens became {rows} × {columns}, whose outlines are drawn"
    errors = whitened_errors(grid, spread(compressed, (h, w)))
    worst = float(errors.max())
    if worst < 1e-6:
        return rgb, f"all {h * w} tokens kept, and none changed"
    share = (DARKEST * _over(errors / worst, rgb))[..., None]
    tinted = (rgb * (1 - share) + np.array(MARK) * share).round().astype(np.uint8)
    how = f"{errors.mean():.2g} standard deviations on average, {worst:.2g} at most"
    return tinted, f"all {h * w} tokens kept; the stronger the orange, the more a token changed: {how}"


def _enlarged(page: Page) -> Pixels:
    pixels = page.pixels if page.pixels.ndim == 3 else np.repeat(page.pixels[..., None], 3, axis=2)
    factor = max(1, LEAST_SIDE // max(pixels.shape[:2]))
    return np.ascontiguousarray(pixels.repeat(factor, axis=0).repeat(factor, axis=1))


def _over(cells: NDArray[Any], rgb: Pixels) -> NDArray[Any]:
    """Values [h, w] of cells for each pixel: the grid covers the page evenly, as the model's own resizing has it."""
    rows, columns = (
        np.minimum(np.arange(size) * n // size, n - 1) for size, n in zip(rgb.shape[:2], cells.shape, strict=True)
    )
    return cells[rows][:, columns]


def _striped(rgb: Pixels, dropped: NDArray[np.bool_]) -> Pixels:
    pale = INK + rgb.astype(np.float64) * (PAPER - INK) / 255
    rows, columns = np.indices(dropped.shape)
    pale[(rows + columns) % 9 < 1] = INK
    return np.where(dropped[..., None], pale.round().astype(np.uint8), rgb)


def _outlined(rgb: Pixels, rows: int, columns: int) -> Pixels:
    drawn = rgb.copy()
    height, width = rgb.shape[:2]
    drawn[[height * i // rows for i in range(1, rows)]] = MARK
    drawn[:, [width * i // columns for i in range(1, columns)]] = MARK
    return drawn
