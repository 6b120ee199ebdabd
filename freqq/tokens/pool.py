"""Mean pooling: the control of the low-pass, on the same smaller grid."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

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
        """The means of a grid [h, w, C] as a grid [h', w', C]."""
        return adaptive_avg_pool2d(grid.float().movedim(-1, 0), small).movedim(0, -1)
