"""Random pruning: the control that every other way to choose must beat."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from freqq.tokens.base import Selector


@dataclass(frozen=True)
class Random(Selector):
    """Keep tokens at random, by a seed made of the page's own features: the same page always keeps the same ones.

    Formula
    -------
    A random permutation of the cells, of which the first h'w' stay.

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
        # Rounded, so that another device's last bits draw the same cells more often than not.
        content = grid.to("cpu", torch.bfloat16).contiguous().view(torch.uint8).numpy().tobytes()
        digest = hashlib.sha256(f"{self.seed} {tuple(grid.shape)}".encode() + content).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
        cells = grid.shape[0] * grid.shape[1]
        return torch.randperm(cells, generator=generator)[: small[0] * small[1]].to(grid.device)
