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

    Parameters
    ----------
    low, mid : float, 0 <= low <= mid
        Upper edges of the low and the middle band, as frequencies of a 24 x 24 grid.
    bits : (low, middle, high)
        2 to 16, or 0 to drop the band.
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
