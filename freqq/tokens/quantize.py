"""Band quantization: every channel's 2-D DCT, coarser towards high frequencies."""

from dataclasses import dataclass
from math import sqrt

from torch import Tensor

from freqq.tokens.base import Quantizer
from freqq.transforms.quantize import QuantizedGrid, check_bits, check_edges, quantize_grid

STUDY_RADIUS = 23 * sqrt(2)
"""The highest radial frequency of the 24 x 24 grid for which the study gives its band edges."""


@dataclass(frozen=True)
class Quantize(Quantizer):
    """Quantize the DCT of a page's tokens in three bands of radial frequency, with a scale for each band and channel.

    The number of tokens stays the same, so this saves stored bytes and no cache: the language model reads the restored
    features. The levels are the table of "Frequency-Aware Vector Quantization for VLM Compression", whose radii on a
    24 x 24 grid became fractions of any grid's own highest radial frequency. Unlike its code, this uses a real DCT, on
    the page's own grid, with the DC apart, and its size is that of a stream that can be decoded.

    Formula
    -------
    F = DCT-II over rows and columns, a channel at a time; q = round(F · Q / s), Q = 2^(bits - 1) - 1, s the largest |F|
    of the channel in the band. Bands by r = √(u² + v²) / √((h - 1)² + (w - 1)²): under low, under mid, the others.
    Back: F = q · s / Q.

    Parameters
    ----------
    low, mid : float, 0 <= low <= mid <= 1
        Upper edges of the low and the middle band.
    bits : (low, middle, high)
        2 to 16, or 0 to drop the band. The DC is always kept exactly.

    Source
    ------
    Method 2 of "Frequency-Aware Vector Quantization for VLM Compression": its bands and bits.
    """

    low: float = 12 / STUDY_RADIUS
    mid: float = 20 / STUDY_RADIUS
    bits: tuple[int, int, int] = (12, 10, 8)

    LEVELS = {
        "ultra_mild": {"low": 16 / STUDY_RADIUS, "mid": 24 / STUDY_RADIUS, "bits": (16, 14, 12)},
        "mild": {"low": 12 / STUDY_RADIUS, "mid": 20 / STUDY_RADIUS, "bits": (12, 10, 8)},
        "aggressive": {"low": 4 / STUDY_RADIUS, "mid": 8 / STUDY_RADIUS, "bits": (8, 4, 2)},
        "extreme": {"low": 3 / STUDY_RADIUS, "mid": 6 / STUDY_RADIUS, "bits": (8, 3, 0)},
    }

    def __post_init__(self) -> None:
        check_edges(self.low, self.mid)
        check_bits(self.bits)

    def code(self, grid: Tensor) -> QuantizedGrid:
        """A grid [h, w, C] as the integers of its bands."""
        return quantize_grid(grid.detach(), self.low, self.mid, self.bits)
