"""Encode and decode a page, and measure the difference: PSNR, SSIM, sizes, times, vision tokens."""

import json
import math
from dataclasses import asdict, dataclass, is_dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import correlate1d

from freqq.image import container
from freqq.image.base import ImageCodec
from freqq.image.files import png
from freqq.image.streams import decode
from freqq.pages.page import Page

PEAK = 255.0
WINDOW, SIGMA = 11, 1.5

CELL = 28
"""Side of a vision token in pixels."""

FRAMES, FEWEST_PIXELS, MOST_PIXELS = 2, 112 * 112, 28 * 28 * 15_000
"""An image counts as a video of two frames; limits of the pixels of both frames together."""


def psnr(original: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two images of the same shape, in dB; infinite for equal ones."""
    error = float(np.mean((original.astype(np.float64) - other) ** 2))
    return math.inf if error == 0 else 10 * math.log10(PEAK**2 / error)


def ssim(original: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean structural similarity of two images [H, W] or [H, W, 3] of the same shape, 1 for equal ones.

    The standard index: an 11 x 11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, averaged over the windows inside
    the image; images below 11 pixels are mirrored at their edges instead. RGB is the mean of the planes.

    Wang, Bovik, Sheikh, Simoncelli: "Image quality assessment: from error visibility to structural similarity", IEEE
    Transactions on Image Processing 13(4), 2004, section III.
    """
    if original.ndim == 3:
        return float(np.mean([ssim(original[..., c], other[..., c]) for c in range(original.shape[2])]))
    x, y = original.astype(np.float64), other.astype(np.float64)
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    # Rounding can make the variance of a flat window slightly negative.
    variance_x = np.maximum(_blur(x * x) - mean_x**2, 0)
    variance_y = np.maximum(_blur(y * y) - mean_y**2, 0)
    covariance = _blur(x * y) - mean_x * mean_y
    index = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    )
    margin = WINDOW // 2
    if min(index.shape) > 2 * margin:
        index = index[margin:-margin, margin:-margin]
    return float(index.mean())


def _blur(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    window = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    window /= window.sum()
    return correlate1d(correlate1d(plane, window, axis=0, mode="reflect"), window, axis=1, mode="reflect")


def vision_tokens(height: int, width: int) -> int | None:
    """The number of vision tokens of a GLM-4V for a page of this size, without token compression.

    After ``smart_resize`` of transformers' image processor with the defaults of GLM-4.1V: sides are rounded to cells of
    28 pixels; a page below 112 x 56 or above 5.9 million pixels is scaled first. None for an aspect ratio above 200,
    which the processor refuses.
    """
    if min(height, width) < CELL:
        scale = max(CELL / height, CELL / width)
        height, width = int(height * scale), int(width * scale)
    if max(height, width) > 200 * min(height, width):
        return None
    rows, columns = round(height / CELL), round(width / CELL)
    pixels = FRAMES * rows * columns * CELL**2
    if pixels > MOST_PIXELS:
        shrink = math.sqrt(FRAMES * height * width / MOST_PIXELS)
        rows, columns = (max(1, math.floor(side / shrink / CELL)) for side in (height, width))
    elif pixels < FEWEST_PIXELS:
        grow = math.sqrt(FEWEST_PIXELS / (FRAMES * height * width))
        rows, columns = (math.ceil(side * grow / CELL) for side in (height, width))
    return rows * columns


@dataclass(frozen=True)
class Recoded:
    """A page's stream, the decoded page, also as PNG, and a row of measures."""

    stream: bytes
    page: Page
    png: bytes
    row: dict[str, Any]


def recode(page: Page, codec: ImageCodec | None) -> Recoded:
    """Encode and decode a page; with None instead of a codec it is stored without loss.

    The row's sizes are in bytes: ``page_png_bytes`` of the original page, ``stream_bytes`` of the stream, and
    ``decoded_png_bytes`` of the decoded page, often larger than the original's. ``bits_per_pixel`` divides the stream
    by the pixels of the original page. ``psnr`` is in dB, infinite for equal pages; times are in milliseconds. For the
    comparison, a page that became smaller is enlarged again (bicubic), and a gray one gets three equal planes if the
    other is RGB. ``vision_tokens`` are those of the decoded page; None if the model refuses its size.
    """
    start = perf_counter()
    stream = container.write_plain(page) if codec is None else codec.encode(page)
    encoded = perf_counter()
    decoded = decode(stream) if codec is None else codec.decode(stream)  # a plug-in may have its own stream format
    done = perf_counter()
    decoded_png = png(decoded)
    height, width = page.pixels.shape[:2]
    original, seen = _in_planes(page.pixels, _as_large(decoded.pixels, height, width))
    row = {
        "width": width,
        "height": height,
        "planes": 1 if page.pixels.ndim == 2 else page.pixels.shape[2],
        "params": params(codec),
        "page_png_bytes": len(png(page)),
        "stream_bytes": len(stream),
        "decoded_png_bytes": len(decoded_png),
        "bits_per_pixel": 8 * len(stream) / (height * width),
        "psnr": psnr(original, seen),
        "ssim": ssim(original, seen),
        "encode_ms": (encoded - start) * 1e3,
        "decode_ms": (done - encoded) * 1e3,
        "decoded_width": decoded.pixels.shape[1],
        "decoded_height": decoded.pixels.shape[0],
        "vision_tokens_full": vision_tokens(height, width),
        "vision_tokens": vision_tokens(*decoded.pixels.shape[:2]),
    }
    return Recoded(stream, decoded, decoded_png, row)


def params(codec: ImageCodec | None) -> str:
    """A codec's parameters as JSON with sorted keys; ``{}`` for none."""
    return json.dumps(asdict(codec) if is_dataclass(codec) else {}, sort_keys=True)


def _as_large(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    if pixels.shape[:2] != (height, width):
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    return pixels


def _in_planes(*pages: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Pages in as many planes as the one with most has."""
    most = max(page.ndim for page in pages)
    return [np.stack([page] * 3, axis=2) if page.ndim < most else page for page in pages]
