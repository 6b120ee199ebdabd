"""Random pruning: the control that every other way to choose must beat."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from freqq.tokens.base import Selector


@dataclass(frozen=True)
class Random(Selector):
    """Keep tokens at random, by a seed made of the grid's shape: pages of one shape keep the same cells.

    What is on a page has no influence. A seed made of its features would be another one wherever their last bits are
    others: on another device, in another number format, in a serving engine.

    Formula
    -------
    A random permutation of the cells, of which the first h'w' stay: so what stays at a smaller `keep` also does at a
    larger one.

    Parameters
    ----------
    seed : int
        For another draw.

    Source
    ------
    A control: random pruning is a strong one by arXiv:2511.02650 and arXiv:2512.03643.
    """

    seed: int = 0

    def select(self, grid: Tensor, small: tuple[int, int]) -> Tensor:
        """h'·w' cells, each as likely as any other."""
        h, w, _ = grid.shape
        digest = hashlib.sha256(f"{self.seed} {h} {w}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
        return torch.randperm(h * w, generator=generator)[: small[0] * small[1]].to(grid.device)
