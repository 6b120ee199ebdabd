"""Energy pruning: keep the tokens that differ most from the page's mean."""

from dataclasses import dataclass

import torch
from torch import Tensor

from freqq.tokens.base import Selector
from freqq.tokens.whitening import Whitening


@dataclass(frozen=True)
class Prune(Selector):
    """Rank tokens by their AC energy: the squares of the whitened features, summed over the channels.

    The study sums DCT coefficients, which are no tokens; this is the same idea where tokens are, since what is left of
    a grid without its means is its AC part (Parseval).

    Formula
    -------
    e(i) = Σ over channels c of ((x(i, c) - mean(c)) / deviation(c))², clipped at 3 deviations; the h'w' cells of
    largest e stay.

    Source
    ------
    The pruning that "Frequency-Aware Vector Quantization for VLM Compression" describes (144 to 72 tokens), and that
    its code never did.
    """

    def select(self, grid: Tensor, small: tuple[int, int]) -> Tensor:
        """The h'·w' cells of most energy."""
        tokens = grid.flatten(0, 1)
        energy = Whitening.of(tokens).energy(tokens)
        return torch.argsort(energy, descending=True, stable=True)[: small[0] * small[1]]
