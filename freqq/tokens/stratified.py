"""Stratified pruning: from each neighbourhood, the token with the most detail."""

from dataclasses import dataclass

import torch
from torch import Tensor

from freqq.tokens.base import Selector
from freqq.tokens.highpass import highpass_energy


@dataclass(frozen=True)
class Stratified(Selector):
    """Divide the page into h' x w' neighbourhoods and keep of each the token with the most local high-pass energy.

    A ranking over the whole page may leave a region without any token; here none is farther away than the next
    neighbourhood. The price is a token for each blank neighbourhood. See `freqq.tokens.highpass` for the energy.

    Formula
    -------
    Of each of h' x w' neighbourhoods, the cell of largest e, the energy of `token-highpass`.

    Source
    ------
    Our own.
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
