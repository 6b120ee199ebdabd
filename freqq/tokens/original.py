"""The study's own arithmetic, faults included, so that its claim can be tested beside the mended one."""

from dataclasses import dataclass

from torch import Tensor

from freqq.frequency.quantize import check_bits
from freqq.frequency.study import StudyGrid, check_radii, quantize_study
from freqq.tokens.base import Quantizer


@dataclass(frozen=True)
class Original(Quantizer):
    """What the code of "Frequency-Aware Vector Quantization for VLM Compression" really did to tokens.

    See `freqq.frequency.study` for what that was. Its own "baseline" is low=22, mid=24, bits=16,16,16, which on pages
    that are not 24 x 24 tokens is its "ultra_mild".

    Formula
    -------
    F = rfft2 of 24 x 24 tokens, or rfft of runs of 24; q = round((Re F - a) / (b - a) · (2^bits - 1)), a and b the
    lowest and the highest real part of the channel in all bands; imaginary parts likewise.

    Parameters
    ----------
    low, mid : float, 0 <= low <= mid
        Upper edges of the low and the middle band, as frequencies of a 24 x 24 grid.
    bits : (low, middle, high)
        2 to 16, or 0 to drop the band.

    Source
    ------
    The code of "Frequency-Aware Vector Quantization for VLM Compression".

    Measured
    --------
    Score on 100 samples of `mini` with each needle count, and its paired difference to no compression (.944, .893 and
    .743); tokens and stored bytes, of bfloat16, as fractions. By examples/sweep_tokens.sh --limit 100:

        level       tokens  stored  2 needles                   4 needles                   8 needles
        ultra_mild    1.00   1.115  .944  +.000 [+.000, +.000]  .893  +.000 [+.000, +.000]  .743  +.000 [+.000, +.000]
        mild          1.00   0.902  .944  +.000 [+.000, +.000]  .893  +.000 [+.000, +.000]  .749  +.005 [-.021, +.040]
        aggressive    1.00   0.414  .923  -.020 [-.064, +.022]  .720  -.173 [-.243, -.110]  .659  -.084 [-.159, -.007]
        extreme       1.00   0.288  .516  -.427 [-.476, -.366]  .478  -.415 [-.470, -.355]  .395  -.348 [-.416, -.274]
    """

    low: float = 12
    mid: float = 20
    bits: tuple[int, int, int] = (12, 10, 8)

    LEVELS = {
        "ultra_mild": {"low": 16.0, "mid": 24.0, "bits": (16, 14, 12)},
        "mild": {"low": 12.0, "mid": 20.0, "bits": (12, 10, 8)},
        "aggressive": {"low": 4.0, "mid": 8.0, "bits": (8, 4, 2)},
        "extreme": {"low": 3.0, "mid": 6.0, "bits": (8, 3, 0)},
    }

    def __post_init__(self) -> None:
        check_radii(self.low, self.mid)
        check_bits(self.bits)

    def code(self, grid: Tensor) -> StudyGrid:
        """A grid [h, w, C] as the study's integers."""
        return quantize_study(grid.detach(), (self.low, self.mid), self.bits)
