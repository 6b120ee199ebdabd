"""Low-pass: keep a page's lowest spatial frequencies as a smaller grid of tokens."""

from dataclasses import dataclass

from torch import Tensor

from freqq.tokens.base import SmallerGrid
from freqq.tokens.grid import resample


@dataclass(frozen=True)
class Lowpass(SmallerGrid):
    """Crop each channel's 2-D DCT to its low-frequency corner and invert it on a smaller grid.

    Magnitudes are restored (see `freqq.tokens.grid.resample`), so that a flat page stays the same flat page. After
    Fourier Compressor (arXiv:2508.06038, section 3), which does not restore them.

    Formula
    -------
    X' = IDCT(DCT(X)[:h', :w']) · √(h'w' / hw), a channel at a time.

    Source
    ------
    After Fourier Compressor (arXiv:2508.06038, section 3), which is trained; this is not.
    """

    def shrink(self, grid: Tensor, small: tuple[int, int]) -> Tensor:
        """The low frequencies of a grid [h, w, C] as a grid [h', w', C]."""
        return resample(grid, small)
