"""Features in which every channel has the same say."""

import torch
from torch import Tensor

OUTLIER = 3.0
"""Standard deviations at which a whitened value is clipped."""


def whitened(grid: Tensor) -> Tensor:
    """A grid [h, w, C] less each channel's mean, in its standard deviations, outliers clipped: float32.

    A few channels of vision tokens are a hundred times larger than the others, and a few tokens are massive: without
    this they alone would decide what is alike or has energy. A channel that does not vary is 0.
    """
    values = grid.float()
    deviation, mean = torch.std_mean(values, dim=(0, 1), correction=0)
    varies = deviation > 1e-6 * values.abs().amax((0, 1))
    return torch.where(varies, (values - mean) / deviation, 0).clamp(-OUTLIER, OUTLIER)
