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
