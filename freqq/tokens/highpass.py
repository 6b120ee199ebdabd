"""High-pass pruning: keep the tokens that their neighbours say least about."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from freqq.tokens.base import Selector
from freqq.tokens.whitening import whitened


@dataclass(frozen=True)
class Highpass(Selector):
    """Rank tokens by their local high-pass energy: what the 3 x 3 mean around a token does not explain of it.

    Where `freqq.tokens.prune` compares a token with its page's mean, all frequencies but the DC, this compares it with
    its neighbourhood: a large blank area is far from the mean of a page of text, but its cells are like each other.

    Formula
    -------
    e(i) = ‖z(i) - mean of z over the 3 x 3 cells around i‖², z whitened; the h'w' cells of largest e stay.

    Source
    ------
    Our own, chosen among six selectors on 40 samples of `mini`.
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
