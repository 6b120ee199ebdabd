"""Whitening: each channel of a page's tokens less its mean, in its standard deviations."""

from dataclasses import dataclass

import torch
from torch import Tensor

OUTLIER = 3.0
"""Standard deviations at which a whitened value is clipped."""

CONSTANT = 1e-6
"""A channel whose standard deviation is at most this fraction of its largest magnitude does not vary."""

COLUMNS, ROWS = 192, 64
"""Channels whose moments, and tokens whose energies are taken at a time on a CPU: so much stays close to a core.

The memory of a whole page in float32 would be new for each page, which costs more than the arithmetic.
"""


@dataclass(frozen=True)
class Whitening:
    """The moments that whiten the tokens of one page.

    A few channels of vision tokens are a hundred times larger than the others, and a few tokens are massive: without
    this they alone would decide what is alike or has energy.

    Parameters
    ----------
    deviation : float32 [C], standard deviations; infinity for a channel that does not vary, which so becomes 0
    mean : float32 [C]
    """

    deviation: Tensor
    mean: Tensor

    @classmethod
    def of(cls, tokens: Tensor) -> "Whitening":
        """The moments of tokens [n, C] of any float type, taken over the n of them; float64 is rounded to float32."""
        tokens = tokens.float() if tokens.dtype == torch.float64 else tokens
        return cls(*(_moments_on_cpu(tokens) if tokens.device.type == "cpu" else _moments(tokens.float())))

    def apply(self, tokens: Tensor) -> Tensor:
        """Tokens [n, C] whitened, outliers clipped: float32."""
        return (tokens.float() - self.mean).div_(self.deviation).clamp_(-OUTLIER, OUTLIER)

    def energy(self, tokens: Tensor) -> Tensor:
        """The sum of squares of each token [n, C], whitened: float32 [n]."""
        parts = tokens.split(ROWS if tokens.device.type == "cpu" else len(tokens))
        return torch.cat([self.apply(part).square_().sum(-1) for part in parts])


def whitened(grid: Tensor) -> Tensor:
    """A grid [h, w, C] whitened, outliers clipped: float32."""
    tokens = grid.flatten(0, 1)
    return Whitening.of(tokens).apply(tokens).view(grid.shape)


def _moments(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Deviation and mean of float32 [n, C]."""
    deviation, mean = torch.std_mean(tokens, dim=0, correction=0)
    varies = deviation > CONSTANT * torch.maximum(-tokens.amin(0), tokens.amax(0))
    return deviation.masked_fill(~varies, torch.inf), mean


def _moments_on_cpu(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """What `_moments` gives, bit for bit, in a fifth of the time.

    torch updates mean and deviation in float64 with every token (Welford), which takes a division for each value. Two
    passes give the same but for the last bits of float64; where these would decide how the result is rounded to
    float32, or whether a channel varies, `_moments` does. Both err by less than n·2^-52 of a channel's largest
    magnitude (Chan, Golub and LeVeque 1983, section 3), which is at most |mean| + √n deviations.
    """
    n = len(tokens)
    variance, mean = (torch.cat(parts) for parts in zip(*map(_two_passes, tokens.split(COLUMNS, 1)), strict=True))
    moments = torch.stack([variance.sqrt(), mean])  # float64 [2, C]
    largest = moments[1].abs() + n**0.5 * moments[0]
    error = 4 * n * 2.0**-53 * largest
    unsure = ((moments - error).float() != (moments + error).float()).any(0) | (moments[0] <= 1.01 * CONSTANT * largest)
    deviation, mean = moments.float()
    which = unsure.nonzero().squeeze(1)
    if len(which):
        deviation[which], mean[which] = _moments(tokens.index_select(1, which).float())
    return deviation, mean


def _two_passes(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Variances and means float64 [C]."""
    values = tokens.double()
    mean = values.mean(0)
    return values.sub_(mean).square_().mean(0), mean
