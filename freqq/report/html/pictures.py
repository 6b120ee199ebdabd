"""Pictures for a page of HTML, each as a ``data:`` address."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """An image with what it shows, for people who do not see it, and what stands below it."""

    address: str
    width: int
    height: int
    alt: str
    caption: str


def picture(pixels: Pixels, alt: str, caption: str) -> Picture:
    """Pixels [H, W] or [H, W, 3] as lossless WebP."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "webp", lossless=True, method=4)
    address = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
    return Picture(address, pixels.shape[1], pixels.shape[0], alt, caption)
