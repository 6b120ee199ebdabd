"""The standard codecs, as controls: PNG, JPEG, WebP and JPEG XL."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freqq.errors import UserError
from freqq.image import jxl_file
from freqq.image.embedded import JPEG, JXL, PNG, WEBP, FileCodec, check_quality, saved, write_file
from freqq.pages.page import Page, png_bytes


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


@dataclass(frozen=True)
class Jxl(FileCodec):
    """JPEG XL by libjxl, the best of the standard codecs; needs pip install 'freqq[jxl]'.

    The levels are the lowest qualities within the harm that `freqq.image.legibility` states for each. Below quality 19,
    libjxl halves the resolution, and half of the letters are lost at once: beyond ``mild`` there is nothing more to
    save.

    Formula
    -------
    A DCT of blocks of many sizes, steps by a model of the eye, and ANS coding.

    Parameters
    ----------
    quality : int, 0 to 100
        As libjxl counts it: 100 is lossless, 90 is visually so.
    effort : int, 1 to 9
        From the fastest to the smallest.

    Source
    ------
    JPEG XL (ISO/IEC 18181), by libjxl.
    """

    quality: int = 19
    effort: int = 7

    LEVELS = {
        "ultra_mild": {"quality": 27},
        "mild": {"quality": 19},
        "aggressive": {"quality": 19},
        "extreme": {"quality": 19},
    }

    def __post_init__(self) -> None:
        check_quality(self.quality, 0)
        if not 1 <= self.effort <= 9:
            raise UserError(f"effort {self.effort}: give 1 to 9")
        jxl_file.library()

    def encode(self, page: Page) -> bytes:
        """The page as a JPEG XL file."""
        content = jxl_file.encoded(page.pixels, self.quality, self.effort)
        return write_file(page, JXL, page.pixels.shape[:2], content)
