"""PNG: the lossless control."""

from dataclasses import dataclass

from freqq.image.embedded import PNG, FileCodec, saved, write_file
from freqq.pages.page import Page
from freqq.pages.png import png_bytes


@dataclass(frozen=True)
class Png(FileCodec):
    """The smaller of two PNG files of a page: Pillow's, optimised, and one whose rows are not filtered.

    Text without filters is about a seventh smaller, photographs with them. PNG does no harm at any level, so all levels
    are one and the same: what a page costs untouched. Fewer gray levels as PNG has them are the codecs `gray4` and
    `gray2`.

    Formula
    -------
    None: lossless (row filters, LZ77, Huffman codes).

    Parameters
    ----------
    None.

    Source
    ------
    The PNG specification (ISO/IEC 15948).

    Measured
    --------
    Means of 20 pages of English prose at Glyph's look (their pixels by LZMA: 68,742 bytes; character errors .0021),
    read back by tesseract; then 100 samples of `mini` with 2 needles: bytes a sample, the model's own character errors,
    its score and the paired difference to no compression (.944). By python examples/image_codecs.py:

        level        bytes      PSNR     CER   words  tokens   mini     CER  score
        ultra_mild  95,938  lossless  0.0021  0.9903     628  4,983  0.0064  0.944  +0.000 [+0.000, +0.000]
    """

    LEVELS = {"ultra_mild": {}, "mild": {}, "aggressive": {}, "extreme": {}}

    def encode(self, page: Page) -> bytes:
        """The page's pixels, unchanged."""
        content = min(png_bytes(page, 9), saved(page.pixels, "png", optimize=True), key=len)
        return write_file(page, PNG, page.pixels.shape[:2], content)
