"""Fewer gray levels, without any transform."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from freqq.errors import UserError
from freqq.image.embedded import WEBP, FileCodec, write_file
from freqq.image.standard import lossless
from freqq.pages.page import Page


@dataclass(frozen=True)
class Gray4(FileCodec):
    """Round a page's brightness to 16 evenly spaced levels, from black to white, and store them without loss.

    The file is lossless WebP, which packs two or four such pixels into one; a PNG of this depth is a quarter larger.
    Colour becomes gray. The number of gray levels defines the codec, so all its compression levels are the same.

    Formula
    -------
    g' = round(g · (2^depth - 1) / 255) · 255 / (2^depth - 1).

    Parameters
    ----------
    depth : int, 1 to 7
        Bits per pixel.

    Source
    ------
    A control: no transform, no model.
    """

    depth: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= 7:
            raise UserError(f"depth {self.depth}: give 1 to 7 bits a pixel")

    def encode(self, page: Page) -> bytes:
        """The page in few gray levels."""
        plane = page.pixels if page.pixels.ndim == 2 else np.asarray(Image.fromarray(page.pixels).convert("L"))
        steps = (1 << self.depth) - 1
        rounded = np.rint(np.rint(plane * (steps / 255)) * (255 / steps)).astype(np.uint8)
        return write_file(Page(rounded), WEBP, rounded.shape, lossless(rounded))


@dataclass(frozen=True)
class Gray2(Gray4):
    """Round a page's brightness to 4 evenly spaced levels, otherwise like `image-gray4`.

    Formula
    -------
    g' = round(g · 3 / 255) · 85 at depth 2.

    Source
    ------
    A control: no transform, no model.
    """

    depth: int = 2
