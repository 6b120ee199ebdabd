"""Mean pooling: the control of the low-pass, on the same smaller grid."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from freqq.tokens.lowpass import SmallerGrid


@dataclass(frozen=True)
class Pool(SmallerGrid):
    """Each new token is the mean of the cells that it covers, whole or in part.

    Formula
    -------
    X'(i, j) = mean of the cells from floor(i h / h') to ceil((i + 1) h / h'), columns likewise.

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
    A control: mean pooling is a strong one by arXiv:2511.02650 and arXiv:2512.03643.

    Measured
    --------
    Score on 100 samples of `mini` with each needle count, and its paired difference to no compression (.944, .893 and
    .743); tokens and stored bytes, of bfloat16, as fractions. By examples/sweep_tokens.sh --limit 100:

        level       tokens  stored  2 needles                   4 needles                   8 needles
        ultra_mild    0.75   0.753  .238  -.705 [-.741, -.652]  .207  -.686 [-.733, -.626]  .209  -.535 [-.604, -.459]
        mild          0.49   0.491  .228  -.716 [-.751, -.662]  .215  -.678 [-.725, -.617]  .190  -.553 [-.621, -.477]
        aggressive    0.26   0.260  .191  -.752 [-.786, -.700]  .202  -.691 [-.737, -.631]  .193  -.550 [-.615, -.476]
        extreme       0.12   0.125  .177  -.767 [-.802, -.711]  .176  -.717 [-.765, -.655]  .184  -.560 [-.627, -.483]
    """

    def shrink(self, grid: Tensor, small: tuple[int, int]) -> Tensor:
        """The means of a grid [h, w, C] as a grid [h', w', C]."""
        return adaptive_avg_pool2d(grid.float().movedim(-1, 0), small).movedim(0, -1)
