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

    Source
    ------
    The PNG specification (ISO/IEC 15948).
    """

    LEVELS = {"ultra_mild": {}, "mild": {}, "aggressive": {}, "extreme": {}}

    def encode(self, page: Page) -> bytes:
        """The page's pixels, unchanged."""
        content = min(png_bytes(page, 9), saved(page.pixels, "png", optimize=True), key=len)
        return write_file(page, PNG, page.pixels.shape[:2], content)
