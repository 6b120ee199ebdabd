"""A lower resolution: the one control that makes fewer vision tokens."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from freqq.errors import UserError
from freqq.image.embedded import WEBP, FileCodec, write_file
from freqq.image.webp import lossless
from freqq.pages.page import Page


@dataclass(frozen=True)
class Resize(FileCodec):
    """Scale the page down and keep it so: the decoded page is smaller, and the vision tower makes fewer tokens of it.

    Any other method has to beat this one: Glyph's own accuracy is a function of its resolution (its table 5). The small
    page is stored as lossless WebP. That hardly saves bytes, since a page that was drawn has few gray levels and
    repeats its letters exactly, and one that was scaled does neither.

    The levels are the smallest of the scales 0.95, 0.9, ... 0.7 within the harm that `freqq.image.legibility` states
    for each.

    Formula
    -------
    h' = round(scale · h), w' = round(scale · w); vision tokens go with scale².

    Parameters
    ----------
    scale : float in (0, 1]
        Of both sides; each keeps at least one pixel. Tokens go with its square. Resampling is bicubic, with the support
        that avoids aliasing.

    Source
    ------
    Glyph renders at 72, 96 or 120 dpi and reports accuracy for each: the baseline that any compression has to beat.

    Measured
    --------
    Means of 20 pages of English prose at Glyph's look (their pixels by LZMA: 68,742 bytes; character errors .0021),
    read back by tesseract; then 100 samples of `mini` with 2 needles: bytes a sample, the model's own character errors,
    its score and the paired difference to no compression (.944). By python examples/image_codecs.py:

        level         bytes     PSNR     CER   words  tokens    mini     CER  score
        ultra_mild  237,767  19.5 dB  0.0033  0.9846     578  12,141  0.3810  0.660  -0.283 [-0.363, -0.208]
        mild        207,302  19.0 dB  0.0051  0.9773     511  11,190  0.9228  0.249  -0.694 [-0.729, -0.641]
        aggressive  179,967  17.1 dB  0.0116  0.9524     406   9,554  1.0084  0.241  -0.702 [-0.740, -0.647]
        extreme     147,446  15.5 dB  0.0759  0.7941     314   7,902  0.9287  0.231  -0.713 [-0.749, -0.660]
    """

    scale: float = 0.9

    LEVELS = {
        "ultra_mild": {"scale": 0.95},
        "mild": {"scale": 0.9},
        "aggressive": {"scale": 0.8},
        "extreme": {"scale": 0.7},
    }

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 1:  # also refuses NaN
            raise UserError(f"scale {self.scale:g}: give a fraction over 0 and at most 1, such as 0.8")

    def encode(self, page: Page) -> bytes:
        """The small page as a lossless file."""
        height, width = self.decoded_size(*page.pixels.shape[:2])
        image = Image.fromarray(page.pixels).resize((width, height), Image.Resampling.BICUBIC)
        return write_file(page, WEBP, (height, width), lossless(np.asarray(image)))

    def decoded_size(self, height: int, width: int) -> tuple[int, int]:
        """The small page's."""
        return max(1, round(height * self.scale)), max(1, round(width * self.scale))
