"""Low-pass: keep a page's lowest spatial frequencies as a smaller grid of tokens."""

from dataclasses import dataclass

from torch import Tensor

from freqq.names import unknown
from freqq.tokens.base import Cutter
from freqq.tokens.grid import CompressedGrid, resample

POSITIONS = ("scaled", "compact")
AXES = ("both", "columns")


@dataclass(frozen=True)
class SmallerGrid(Cutter):
    """Base of the cutters that hand over a smaller grid of new features.

    Parameters
    ----------
    keep : float in (0, 1]
        Fraction of tokens to keep. The aspect ratio stays as close as whole tokens allow.
    positions : ``scaled`` or ``compact``
        Where the language model sees the new tokens. Scaled: at the centres of the areas that they stand for, between
        the positions of whole tokens, so that the page spans what it did; rotary embeddings take fractions. Compact: as
        a page that was rendered smaller, which is also what a serving engine can take.
    axis : ``both`` or ``columns``
        Along which sides the grid gets smaller. Columns: each row of tokens by itself, so that lines of text do not mix
        where a row of tokens is one; a page then keeps round(keep·w) columns, for the budget only nearly.
    """

    positions: str = "scaled"
    axis: str = "both"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.positions not in POSITIONS:
            raise unknown("positions", self.positions, POSITIONS)
        if self.axis not in AXES:
            raise unknown("axis", self.axis, AXES)

    def fit(self, h: int, w: int) -> tuple[int, int]:
        """The smaller grid (h', w')."""
        return (h, max(1, round(self.keep * w))) if self.axis == "columns" else super().fit(h, w)

    def cut(self, grid: Tensor, small: tuple[int, int]) -> CompressedGrid:
        """The features of `shrink`, spread over the page or as a smaller page."""
        h, w, channels = grid.shape
        features = self.shrink(grid, small).to(grid.dtype).reshape(-1, channels)
        if self.positions == "compact":
            return CompressedGrid(features, small)
        return CompressedGrid(features, (h, w), small=small)

    def shrink(self, grid: Tensor, small: tuple[int, int]) -> Tensor:
        """A grid [h', w', C], given one [h, w, C] and (h', w')."""
        raise NotImplementedError


@dataclass(frozen=True)
class Lowpass(SmallerGrid):
    """Crop each channel's 2-D DCT to its low-frequency corner and invert it on a smaller grid.

    Magnitudes are restored (see `freqq.tokens.grid.resample`), so that a flat page stays the same flat page. After
    Fourier Compressor (arXiv:2508.06038, section 3), which does not restore them.

    Formula
    -------
    X' = IDCT(DCT(X)[:h', :w']) · √(h'w' / hw), a channel at a time.

    Parameters
    ----------
    keep : float in (0, 1]
        Fraction of the tokens to keep; as many stay as `freqq.tokens.grid.fit_grid` has cells. At 1 nothing changes.
    positions : ``scaled`` or ``compact``
        Where the language model sees the new tokens: at the centres of the areas that they stand for, so that the page
        spans what it did, or as a page that was rendered smaller, which is also what a serving engine can take.
    axis : ``both`` or ``columns``
        Along which sides the grid gets smaller: both, or each row of tokens by itself, so that lines of text do not
        mix; then round(keep·w) columns stay, and the budget is kept only nearly.

    Source
    ------
    After Fourier Compressor (arXiv:2508.06038, section 3), which is trained; this is not.

    Measured
    --------
    Score on 100 samples of `mini` with each needle count, and its paired difference to no compression (.944, .893 and
    .743); tokens and stored bytes, of bfloat16, as fractions. By examples/sweep_tokens.sh --limit 100:

        level       tokens  stored  2 needles                   4 needles                   8 needles
        ultra_mild    0.75   0.753  .445  -.499 [-.553, -.437]  .385  -.508 [-.565, -.442]  .322  -.421 [-.495, -.340]
        mild          0.49   0.491  .291  -.652 [-.696, -.589]  .294  -.599 [-.651, -.541]  .247  -.496 [-.565, -.418]
        aggressive    0.26   0.260  .201  -.742 [-.778, -.685]  .214  -.679 [-.726, -.620]  .188  -.555 [-.626, -.475]
        extreme       0.12   0.125  .182  -.762 [-.796, -.706]  .193  -.700 [-.747, -.640]  .169  -.575 [-.641, -.499]
    """

    def shrink(self, grid: Tensor, small: tuple[int, int]) -> Tensor:
        """The low frequencies of a grid [h, w, C] as a grid [h', w', C]."""
        return resample(grid, small)
