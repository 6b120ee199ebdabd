"""How alike two images are."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

PEAK = 255.0
WINDOW, SIGMA = 11, 1.5

CELL = 28
"""Side of a vision token in pixels."""

FRAMES, FEWEST_PIXELS, MOST_PIXELS = 2, 112 * 112, 28 * 28 * 15_000
"""An image counts as a video of two frames, and these are the limits for all of it."""


def psnr(original: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB of two images of the same shape; infinite for equal ones."""
    error = float(np.mean((original.astype(np.float64) - other) ** 2))
    return math.inf if error == 0 else 10 * math.log10(PEAK**2 / error)


def ssim(original: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean structural similarity of two images [H, W] or [H, W, 3] of the same shape, 1 for equal ones.

    The standard index: an 11 x 11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, averaged over the windows that
    lie wholly inside; images under 11 pixels are mirrored at their edges instead. RGB is the mean of the planes.

    Wang, Bovik, Sheikh, Simoncelli: "Image quality assessment: from error visibility to structural similarity", IEEE
    Transactions on Image Processing 13(4), 2004, section III.
    """
    if original.ndim == 3:
        return float(np.mean([ssim(original[..., c], other[..., c]) for c in range(original.shape[2])]))
    x, y = original.astype(np.float64), other.astype(np.float64)
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    # Rounding can push the variance of a flat window a little under zero.
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
    """How many tokens the vision tower of a GLM-4V gives the language model for a page of this size, of its own accord.

    After ``smart_resize`` of transformers' image processor with the defaults of GLM-4.1V: sides are rounded to cells of
    28 pixels; a page of under 112 x 56 or over 5.9 million pixels is scaled first. None for a page that is refused,
    being 200 times as wide as high.
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
