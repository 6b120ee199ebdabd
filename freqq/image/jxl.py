"""JPEG XL, lossy and lossless."""

from dataclasses import dataclass

from freqq.errors import UserError
from freqq.image import jxl_file
from freqq.image.embedded import JXL, FileCodec, check_quality, write_file
from freqq.pages.page import Page


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
