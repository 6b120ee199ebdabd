"""WebP, lossy and lossless."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freqq.image.embedded import WEBP, FileCodec, check_quality, saved, write_file
from freqq.pages.page import Page


@dataclass(frozen=True)
class Webp(FileCodec):
    """WebP by libwebp: VP8, or VP8L at quality 100.

    The levels are those of the smallest files within the harm that `freqq.image.legibility` states for each. On text,
    lossless files are smaller than lossy ones of any quality from 2 on, so all levels but the last are lossless; at
    quality 0 a seventh of the letters is wrong.

    Formula
    -------
    VP8: prediction, a 4 x 4 DCT of what is left, one step by `quality`; VP8L: prediction, a palette, LZ77 and Huffman
    codes.

    Parameters
    ----------
    quality : int, 0 to 100
        100 is lossless. WebP has no gray images: gray pages are stored as colour that is gray.

    Source
    ------
    WebP (RFC 9649), by libwebp.
    """

    quality: int = 100

    LEVELS = {
        "ultra_mild": {"quality": 100},
        "mild": {"quality": 100},
        "aggressive": {"quality": 100},
        "extreme": {"quality": 1},
    }

    def __post_init__(self) -> None:
        check_quality(self.quality, 0)

    def encode(self, page: Page) -> bytes:
        """The page as a WebP file."""
        if self.quality == 100:
            content = lossless(page.pixels)
        else:
            content = saved(_rgb(page.pixels), "webp", quality=self.quality, method=4)
        return write_file(page, WEBP, page.pixels.shape[:2], content)


def lossless(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels as a lossless WebP file: of the lossless formats that Pillow always has, the smallest for text."""
    return saved(_rgb(pixels), "webp", lossless=True, quality=80, method=4)


def _rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=2)
