"""Mean pooling: the control of the low-pass, on the same smaller grid."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, embedding_bag

from freqq.tokens.base import SmallerGrid


@dataclass(frozen=True)
class Pool(SmallerGrid):
    """Each new token is the mean of the cells that it covers, whole or in part.

    Formula
    -------
    X'(i, j) = mean of the cells from floor(i h / h') to ceil((i + 1) h / h'), columns likewise.

    Source
    ------
    A control: mean pooling is a strong one by arXiv:2511.02650 and arXiv:2512.03643.
    """

    def shrink(self, grid: Tensor, small: tuple[int, int]) -> Tensor:
        """The means, float32 [h', w', C], to the bit those of torch's adaptive_avg_pool2d."""
        h, w, channels = grid.shape
        if small == (1, 1):
            return adaptive_avg_pool2d(grid.float().movedim(-1, 0), small).movedim(0, -1)
        cells, starts, rows, columns = _windows((h, w), small, grid.device)
        # Adds whole tokens, which lie together in memory; adaptive_avg_pool2d goes from channel to channel.
        means = embedding_bag(cells, grid.float().reshape(h * w, channels), starts, mode="sum") / rows / columns
        # A channel's tokens lie together, as it left them: what is added up later is added in that order.
        return means.T.contiguous().T.view(*small, channels)


@lru_cache(maxsize=64)
def _windows(shape: tuple[int, int], small: tuple[int, int], device: torch.device) -> tuple[Tensor, ...]:
    """The cells of each window, one window after the other, where each begins, and its rows and columns [k, 1]."""
    down, across = (
        [range(i * n // m, -(-(i + 1) * n // m)) for i in range(m)] for n, m in zip(shape, small, strict=True)
    )
    windows = [(rows, columns) for rows in down for columns in across]
    cells = [row * shape[1] + column for rows, columns in windows for row in rows for column in columns]
    sizes = torch.tensor([[len(rows), len(columns)] for rows, columns in windows])
    starts = sizes.prod(1).cumsum(0) - sizes.prod(1)
    heights, widths = sizes.float().to(device).split(1, 1)
    return torch.tensor(cells, device=device), starts.to(device), heights, widths
