"""Stratified pruning: from each neighbourhood, the token with the most detail."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from freqq.tokens.base import Selector
from freqq.tokens.whiten import whitened


@dataclass(frozen=True)
class Stratified(Selector):
    """Divide the page into h' x w' neighbourhoods and keep of each the token with the most local high-pass energy.

    That energy is what the 3 x 3 mean around a token does not explain of it, whitened. A ranking over the whole page
    may leave a region without any token; here none is farther away than the next neighbourhood.
    """

    def select(self, grid: Tensor, small: tuple[int, int]) -> Tensor:
        """One cell for each cell of a grid of (h', w')."""
        h, w, _ = grid.shape
        energy = highpass_energy(grid).flatten()
        rows = torch.arange(h, device=grid.device) * small[0] // h
        columns = torch.arange(w, device=grid.device) * small[1] // w
        areas = (rows[:, None] * small[1] + columns[None]).flatten()
        order = torch.argsort(energy, descending=True, stable=True)
        order = order[torch.argsort(areas[order], stable=True)]
        first = torch.cat([areas.new_ones(1, dtype=torch.bool), areas[order].diff() > 0])
        return order[first]


def highpass_energy(grid: Tensor) -> Tensor:
    """Energy [h, w] of each token less the mean of its 3 x 3 neighbourhood (at borders: of what there is), whitened."""
    values = whitened(grid).movedim(-1, 0)
    around = avg_pool2d(values, 3, stride=1, padding=1, count_include_pad=False)
    return (values - around).square().sum(0)
