"""JPEG, the control that everyone has."""

from dataclasses import dataclass

from freqq.image.embedded import JPEG, FileCodec, check_quality, saved, write_file
from freqq.pages.page import Page


@dataclass(frozen=True)
class Jpeg(FileCodec):
    """Baseline JPEG by libjpeg-turbo with Huffman tables made for the page; colour at half resolution, gray alone.

    The levels are the lowest qualities within the harm that `freqq.image.legibility` states for each.

    Formula
    -------
    q = round(F / s) of 8 x 8 blocks, s = libjpeg's table scaled by `quality`; Huffman codes.

    Parameters
    ----------
    quality : int, 1 to 100
        As libjpeg counts it.

    Source
    ------
    JPEG (ITU-T T.81), by libjpeg-turbo.

    Measured
    --------
    Means of 20 pages of English prose at Glyph's look (their pixels by LZMA: 68,742 bytes; character errors .0021),
    read back by tesseract; then 100 samples of `mini` with 2 needles: bytes a sample, the model's own character errors,
    its score and the paired difference to no compression (.944). By python examples/image_codecs.py:

        level         bytes     PSNR     CER   words  tokens    mini     CER  score
        ultra_mild  211,670  29.1 dB  0.0029  0.9857     628  16,360  0.0064  0.936  -0.007 [-0.043, +0.014]
        mild        150,608  24.0 dB  0.0068  0.9640     628  11,915  0.0081  0.939  -0.004 [-0.035, +0.018]
        aggressive  107,240  20.7 dB  0.0191  0.8975     628   8,826  0.0083  0.948  +0.004 [-0.039, +0.051]
        extreme      69,603  17.9 dB  0.0947  0.6455     628   6,201  0.0361  0.947  +0.004 [-0.040, +0.052]
    """

    quality: int = 42

    LEVELS = {
        "ultra_mild": {"quality": 70},
        "mild": {"quality": 42},
        "aggressive": {"quality": 24},
        "extreme": {"quality": 13},
    }

    def __post_init__(self) -> None:
        check_quality(self.quality, 1)

    def encode(self, page: Page) -> bytes:
        """The page as a JPEG file."""
        content = saved(page.pixels, "jpeg", quality=self.quality, optimize=True)
        return write_file(page, JPEG, page.pixels.shape[:2], content)
