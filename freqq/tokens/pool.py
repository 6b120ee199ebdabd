"""Mean pooling: the control of the low-pass, on the same smaller grid."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from freqq.tokens.lowpass import SmallerGrid


@dataclass(frozen=True)
class Pool(SmallerGrid):
    """Each new token is the mean of the cells that it covers, whole or in part."""

    def shrink(self, grid: Tensor, small: tuple[int, int]) -> Tensor:
        """The means of a grid [h, w, C] as a grid [h', w', C]."""
        return adaptive_avg_pool2d(grid.float().movedim(-1, 0), small).movedim(0, -1)
