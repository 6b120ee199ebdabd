"""Regular dropping: the control that keeps every n-th token."""

from dataclasses import dataclass

import torch
from torch import Tensor

from freqq.tokens.base import Selector


@dataclass(frozen=True)
class Stride(Selector):
    """Keep tokens at equal distances in raster order, whatever they show.

    Sampling without a filter before it, which the low-pass must beat: at a half, every other token of a line stays.
    Unlike a random choice it is the same on all pages of a size, so a model that may adapt can count on it.

    Formula
    -------
    Of n cells in raster order the k at floor((2 i + 1) n / 2 k) stay, i = 0 .. k - 1.

    Source
    ------
    A control of our own: decimation.
    """

    def select(self, grid: Tensor, small: tuple[int, int]) -> Tensor:
        """h'·w' cells, each in the middle of an equal share of the raster."""
        cells, kept = grid.shape[0] * grid.shape[1], small[0] * small[1]
        return (2 * torch.arange(kept, device=grid.device) + 1) * cells // (2 * kept)
