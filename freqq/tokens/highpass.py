"""High-pass pruning: keep the tokens that their neighbours say least about."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from freqq.tokens.base import Selector
from freqq.tokens.grid import whitened


@dataclass(frozen=True)
class Highpass(Selector):
    """Rank tokens by their local high-pass energy: what the 3 x 3 mean around a token does not explain of it.

    Where `freqq.tokens.prune` compares a token with its page's mean, all frequencies but the DC, this compares it with
    its neighbourhood: a large blank area is far from the mean of a page of text, but its cells are like each other.

    Formula
    -------
    e(i) = ‖z(i) - mean of z over the 3 x 3 cells around i‖², z whitened; the h'w' cells of largest e stay.

    Parameters
    ----------
    keep : float in (0, 1]
        Fraction of the tokens to keep; as many stay as `freqq.tokens.grid.fit_grid` has cells. At 1 nothing changes.

    Source
    ------
    Our own, chosen among six selectors on 40 samples of `mini`.

    Measured
    --------
    Score on 100 samples of `mini` with each needle count, and its paired difference to no compression (.944, .893 and
    .743); tokens and stored bytes, of bfloat16, as fractions. By examples/sweep_tokens.sh --limit 100:

        level       tokens  stored  2 needles                   4 needles                   8 needles
        ultra_mild    0.75   0.753  .960  +.017 [-.020, +.058]  .868  -.025 [-.061, +.003]  .721  -.022 [-.064, +.016]
        mild          0.49   0.491  .844  -.099 [-.156, -.038]  .645  -.248 [-.320, -.177]  .592  -.152 [-.224, -.073]
        aggressive    0.26   0.260  .542  -.402 [-.461, -.337]  .493  -.400 [-.466, -.326]  .440  -.303 [-.385, -.214]
        extreme       0.12   0.125  .346  -.597 [-.644, -.541]  .346  -.547 [-.603, -.486]  .311  -.432 [-.503, -.355]
    """

    def select(self, grid: Tensor, small: tuple[int, int]) -> Tensor:
        """The h'·w' cells of most energy."""
        energy = highpass_energy(grid).flatten()
        return torch.argsort(energy, descending=True, stable=True)[: small[0] * small[1]]


def highpass_energy(grid: Tensor) -> Tensor:
    """Energy [h, w] of each token less the mean of its 3 x 3 neighbourhood (at borders: of what there is), whitened."""
    values = whitened(grid).movedim(-1, 0)
    around = avg_pool2d(values, 3, stride=1, padding=1, count_include_pad=False)
    return (values - around).square().sum(0)
