"""Fewer gray levels, without any transform."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from freqq.errors import UserError
from freqq.image.embedded import WEBP, FileCodec, write_file
from freqq.image.webp import lossless
from freqq.pages.page import Page


@dataclass(frozen=True)
class Gray4(FileCodec):
    """Round a page's brightness to 16 evenly spaced levels, black and white among them, and store these without loss.

    The file is lossless WebP, which packs two or four pixels of so few levels into one; a PNG of this depth is a
    quarter larger. Colour becomes gray. How many levels of gray there are is what makes the codec, so all of its levels
    of harm are one and the same.

    Formula
    -------
    g' = round(g · (2^depth - 1) / 255) · 255 / (2^depth - 1).

    Parameters
    ----------
    depth : int, 1 to 7
        Bits a pixel.

    Source
    ------
    A control of our own: no transform, no model.

    Measured
    --------
    Means of 20 pages of English prose at Glyph's look (their pixels by LZMA: 68,742 bytes; character errors .0021),
    read back by tesseract; then 100 samples of `mini` with 2 needles: bytes a sample, the model's own character errors,
    its score and the paired difference to no compression (.944). By python examples/image_codecs.py:

        level        bytes     PSNR     CER   words  tokens   mini     CER  score
        ultra_mild  67,938  39.0 dB  0.0022  0.9898     628  3,279  0.0064  0.951  +0.007 [-0.014, +0.043]
    """

    depth: int = 4

    LEVELS = {"ultra_mild": {}, "mild": {}, "aggressive": {}, "extreme": {}}

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= 7:
            raise UserError(f"depth {self.depth}: give 1 to 7 bits a pixel")

    def encode(self, page: Page) -> bytes:
        """The page in few levels of gray."""
        plane = page.pixels if page.pixels.ndim == 2 else np.asarray(Image.fromarray(page.pixels).convert("L"))
        steps = (1 << self.depth) - 1
        rounded = np.rint(np.rint(plane * (steps / 255)) * (255 / steps)).astype(np.uint8)
        return write_file(Page(rounded), WEBP, rounded.shape, lossless(rounded))


@dataclass(frozen=True)
class Gray2(Gray4):
    """Round a page's brightness to 4 evenly spaced levels, otherwise as `image-gray4`.

    Formula
    -------
    g' = round(g · 3 / 255) · 85 at depth 2.

    Parameters
    ----------
    depth : int, 1 to 7
        Bits a pixel.

    Source
    ------
    A control of our own: no transform, no model.

    Measured
    --------
    Means of 20 pages of English prose at Glyph's look (their pixels by LZMA: 68,742 bytes; character errors .0021),
    read back by tesseract; then 100 samples of `mini` with 2 needles: bytes a sample, the model's own character errors,
    its score and the paired difference to no compression (.944). By python examples/image_codecs.py:

        level        bytes     PSNR     CER   words  tokens   mini     CER  score
        ultra_mild  45,586  25.6 dB  0.0036  0.9819     628  2,332  0.0064  0.944  +0.000 [-0.027, +0.028]
    """

    depth: int = 2
