"""A page of vision tokens after compression: which features there are, and where on the page they belong."""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from freqq.errors import UserError
from freqq.transforms.dct import at_once, dct2, idct2

LARGE = 256
"""Cells of a grid; a page of Glyph's has 630, one of the embedded model 45."""


@dataclass(frozen=True)
class CompressedGrid:
    """A page of vision tokens after compression.

    Parameters
    ----------
    features : [k, C], what the language model reads, in the dtype of the grid it was made from
    shape : (h, w) of the page's full grid; the language model's positions span as much, whatever is left of it
    kept : int64 [k], ascending raster indices of the cells that the features stand for; None: all h·w, or `small`
    small : (h', w') if the features are a smaller grid, k = h'·w', that is spread over the whole page; None: they are
        cells of the full grid
    payload : the real stream, decodable without the original; None: nothing was coded, the size in bfloat16 counts
    """

    features: Tensor
    shape: tuple[int, int]
    kept: Tensor | None = None
    small: tuple[int, int] | None = None
    payload: bytes | None = None

    @property
    def arranged(self) -> Tensor:
        """The features as a grid [rows, columns, C]; those of kept cells, which are no grid, as one column."""
        rows, columns = (len(self.features), 1) if self.kept is not None else self.small or self.shape
        return self.features.reshape(rows, columns, -1)

    @property
    def cells(self) -> Tensor:
        """Rows and columns float32 [k, 2] of the features on the page's full grid; between cells for a smaller grid."""
        if self.kept is None:
            return cell_centres(self.shape, self.small or self.shape).T
        kept, columns = self.kept.cpu(), self.shape[1]
        return torch.stack([kept // columns, kept % columns], 1).float()


def whole(grid: Tensor) -> CompressedGrid:
    """A grid [h, w, C] as it is."""
    h, w, channels = grid.shape
    return CompressedGrid(grid.reshape(h * w, channels), (h, w))


def check_grid(grid: Tensor) -> None:
    """Refuse what is no grid [h, w, C] of numbers.

    Raises
    ------
    UserError
        If a dimension is missing or empty, or a value is NaN or infinite.
    """
    if grid.ndim != 3 or 0 in grid.shape:
        raise UserError(
            f"a token grid has height, width and channels, all at least 1, not the shape {list(grid.shape)}"
        )
    # NaN is the least and the greatest of what it is among. To ask each value takes twenty times as long.
    if not bool(torch.stack(torch.aminmax(grid)).isfinite().all()):
        raise UserError("the token grid holds NaN or infinity: nothing was compressed")


def fit_grid(h: int, w: int, keep: float) -> tuple[int, int]:
    """The grid (h', w') with about keep·h·w cells and about the aspect ratio of (h, w); (h, w) itself at 1.

    Both departures are taken as logarithms. The number of cells is what a budget is about, so it weighs four times.
    """

    def departure(shape: tuple[int, int]) -> float:
        rows, columns = log(shape[0] / h), log(shape[1] / w)
        return 4 * abs(rows + columns - log(keep)) + abs(rows - columns)

    # For each height the best width is one of the two beside the exact quotient.
    shapes = [
        (rows, columns)
        for rows in range(1, h + 1)
        for columns in {max(1, min(w, int(keep * h * w / rows) + more)) for more in (0, 1)}
    ]
    return min(shapes, key=lambda shape: (departure(shape), shape))


def cell_centres(shape: tuple[int, int], small: tuple[int, int]) -> Tensor:
    """Rows and columns float32 [2, h'·w'] of a smaller grid's cells on the full grid; equal grids have the same."""
    down, across = ((torch.arange(n) + 0.5) * (full / n) - 0.5 for full, n in zip(shape, small, strict=True))
    return torch.cartesian_prod(down, across).T


def resample(grid: Tensor, shape: tuple[int, int]) -> Tensor:
    """The grid [h', w', C] whose DCT agrees with that of [h, w, C] at all frequencies that both grids have.

    Smaller, it is the grid's low frequencies; larger, it is interpolated without new ones. An orthonormal DCT of fewer
    values would be larger by sqrt(hw / h'w'); they are scaled back, so that a mean stays the same mean. float32.
    """
    return torch.cat([_resampled(part.float(), shape) for part in grid.split(at_once(grid), 2)], 2)


def _resampled(grid: Tensor, shape: tuple[int, int]) -> Tensor:
    (h, w, channels), (new_h, new_w) = grid.shape, shape
    low_h, low_w = min(h, new_h), min(w, new_w)
    # What is not kept need not be computed; on a small grid that saves nothing, and BLAS may add in another order.
    low = dct2(grid, (low_h, low_w)) if h * w >= LARGE else dct2(grid)[:low_h, :low_w]
    if (low_h, low_w) != shape:
        coefficients = grid.new_zeros(new_h, new_w, channels)
        coefficients[:low_h, :low_w] = low
        low = coefficients
    return idct2(low).mul_((new_h * new_w / (h * w)) ** 0.5)


def spread(page: CompressedGrid, shape: tuple[int, int]) -> Tensor:
    """What a full grid [h, w, C] of `shape` looks like from what is left of it, float32.

    A smaller grid is interpolated; a dropped cell shows the nearest kept one. For pictures and errors: the language
    model reads only what is left.
    """
    if page.kept is None:
        return page.arranged.float() if page.arranged.shape[:2] == shape else resample(page.arranged, shape)
    h, w = shape
    cells = torch.cartesian_prod(torch.arange(h), torch.arange(w)).float()
    nearest = torch.cdist(cells, cells[page.kept.cpu()]).argmin(1).to(page.features.device)
    return page.features.float()[nearest].reshape(h, w, -1)
