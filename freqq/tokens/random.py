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
        ultra_mild    0.75   0.753  .624  -.320 [-.370, -.267]  .604  -.289 [-.362, -.213]  .502  -.241 [-.309, -.173]
        mild          0.49   0.491  .486  -.457 [-.509, -.400]  .445  -.448 [-.504, -.383]  .379  -.364 [-.438, -.280]
        aggressive    0.26   0.260  .325  -.619 [-.663, -.563]  .315  -.578 [-.628, -.520]  .271  -.472 [-.540, -.396]
        extreme       0.12   0.125  .244  -.700 [-.735, -.648]  .261  -.632 [-.684, -.573]  .228  -.515 [-.581, -.441]
    """

    seed: int = 0

    def select(self, grid: Tensor, small: tuple[int, int]) -> Tensor:
        """h'·w' cells, each as likely as any other."""
        h, w, _ = grid.shape
        digest = hashlib.sha256(f"{self.seed} {h} {w}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
        return torch.randperm(h * w, generator=generator)[: small[0] * small[1]].to(grid.device)
