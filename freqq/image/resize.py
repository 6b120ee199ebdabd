"""Lower resolution: the only control that reduces the number of vision tokens."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from freqq.errors import UserError
from freqq.image.embedded import WEBP, FileCodec, write_file
from freqq.image.standard import lossless
from freqq.pages.page import Page


@dataclass(frozen=True)
class Resize(FileCodec):
    """Scale the page down: the decoded page is smaller, and the vision tower makes fewer tokens of it.

    Every other method has to beat this one: Glyph's accuracy depends on its resolution (its table 5). The small page is
    stored as lossless WebP, which hardly saves bytes: a drawn page has few gray levels and repeats its letters exactly,
    a scaled one does not.

    Each level is the smallest of the scales 0.95, 0.9, ... 0.7 within the harm of `freqq.image.legibility`.

    Formula
    -------
    h' = round(scale · h), w' = round(scale · w); the number of vision tokens is proportional to scale².

    Parameters
    ----------
    scale : float in (0, 1]
        Factor of both sides; each keeps at least one pixel. Resampling is bicubic with antialiasing.

    Source
    ------
    Glyph renders at 72, 96 or 120 dpi and reports the accuracy for each.
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
        """Size of the scaled page."""
        return max(1, round(height * self.scale)), max(1, round(width * self.scale))
