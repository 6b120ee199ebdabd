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
    keep : float in (0, 1]
        Fraction of the tokens to keep; as many stay as `freqq.tokens.grid.fit_grid` has cells. At 1 nothing changes.
    seed : int
        For another draw.

    Source
    ------
    A control: random pruning is a strong one by arXiv:2511.02650 and arXiv:2512.03643.

    Measured
    --------
    Score on 100 samples of `mini` with each needle count, and its paired difference to no compression (.944, .893 and
    .743); tokens and stored bytes, of bfloat16, as fractions. By examples/sweep_tokens.sh --limit 100:

        level       tokens  stored  2 needles                   4 needles                   8 needles
        ultra_mild    0.75   0.753  .665  -.279 [-.331, -.226]  .566  -.327 [-.396, -.255]  .495  -.248 [-.314, -.180]
        mild          0.49   0.491  .472  -.472 [-.524, -.412]  .468  -.425 [-.486, -.359]  .410  -.333 [-.410, -.252]
        aggressive    0.26   0.260  .315  -.629 [-.669, -.579]  .323  -.570 [-.625, -.504]  .281  -.463 [-.530, -.387]
        extreme       0.12   0.125  .247  -.696 [-.733, -.648]  .231  -.662 [-.709, -.603]  .254  -.489 [-.557, -.414]
    """

    seed: int = 0

    def select(self, grid: Tensor, small: tuple[int, int]) -> Tensor:
        """h'·w' cells, each as likely as any other."""
        h, w, _ = grid.shape
        digest = hashlib.sha256(f"{self.seed} {h} {w}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
        return torch.randperm(h * w, generator=generator)[: small[0] * small[1]].to(grid.device)
