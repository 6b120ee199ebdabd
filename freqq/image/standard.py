"""Standard codecs as controls: PNG, JPEG, WebP and JPEG XL."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freqq.errors import UserError
from freqq.image import jxl_file
from freqq.image.embedded import JPEG, JXL, PNG, WEBP, FileCodec, check_quality, saved, write_file
from freqq.pages.page import Page, png_bytes


@dataclass(frozen=True)
class Png(FileCodec):
    """The smaller of two PNG files of a page: Pillow's optimized one, and one without row filters.

    Text is about a seventh smaller without filters, photographs are smaller with them. PNG is lossless, so all levels
    are the same: the cost of an unchanged page. For fewer gray levels see `gray4` and `gray2`.

    Formula
    -------
    None: lossless (row filters, LZ77, Huffman codes).

    Source
    ------
    The PNG specification (ISO/IEC 15948).
    """

    def encode(self, page: Page) -> bytes:
        """The page's pixels, unchanged."""
        content = min(png_bytes(page, 9), saved(page.pixels, "png", optimize=True), key=len)
        return write_file(page, PNG, page.pixels.shape[:2], content)


@dataclass(frozen=True)
class Jpeg(FileCodec):
    """Baseline JPEG by libjpeg-turbo with optimized Huffman tables; colour at half resolution, gray as one plane.

    Each level is the lowest quality within the harm of `freqq.image.legibility`.

    Formula
    -------
    q = round(F / s) of 8 x 8 blocks, s = libjpeg's table scaled by `quality`; Huffman codes.

    Parameters
    ----------
    quality : int, 1 to 100
        libjpeg's quality.

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

    Each level gives the smallest file within the harm of `freqq.image.legibility`. On text, lossless files are smaller
    than lossy ones of quality 2 or more, so all levels except the last are lossless; at quality 0, a seventh of the
    letters is wrong.

    Formula
    -------
    VP8: prediction, a 4 x 4 DCT of the residual, one step by `quality`; VP8L: prediction, a palette, LZ77 and Huffman
    codes.

    Parameters
    ----------
    quality : int, 0 to 100
        100 is lossless. WebP has no gray images: gray pages are stored as RGB.

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
    """Pixels as a lossless WebP file, the smallest lossless format for text that Pillow always supports."""
    return saved(_rgb(pixels), "webp", lossless=True, quality=80, method=4)


def _rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=2)


@dataclass(frozen=True)
class Jxl(FileCodec):
    """JPEG XL by libjxl, the best of the standard codecs; needs pip install 'freqq[jxl]'.

    Each level is the lowest quality within the harm of `freqq.image.legibility`. Below quality 19, libjxl halves the
    resolution and half of the letters are lost, so the levels beyond ``mild`` are the same.

    Formula
    -------
    A DCT with variable block sizes, steps by a psychovisual model, and ANS coding.

    Parameters
    ----------
    quality : int, 0 to 100
        libjxl's quality: 100 is lossless, 90 visually lossless.
    effort : int, 1 to 9
        From fastest to smallest.

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
