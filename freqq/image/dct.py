"""Block DCT of a page: keep its largest coefficients, or quantize all of them by frequency."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freqq.errors import UserError
from freqq.image import coefficients as stored
from freqq.image.base import ImageCodec
from freqq.image.coefficients import Coefficients, read_blocks, write_coefficients
from freqq.image.container import check_size
from freqq.pages.page import Page
from freqq.transforms.blocks import block_dct

BIN_BITS = 15
"""Low bits of a float32 that `largest` ignores when it counts magnitudes, which leaves 256 bins per octave."""


@dataclass(frozen=True)
class BlockDct(ImageCodec):
    """Keep the largest coefficients of a page's block DCT, and every DC; round them to integers; invert.

    Method 1 of "Frequency-Aware Vector Quantization for VLM Compression", whose 50 % is the level ``mild``. Unlike in
    its code, a page is padded to whole blocks instead of resized, pixels are rounded instead of truncated, and the size
    is that of a decodable stream. On a mostly blank page fewer than half of the coefficients differ from 0, so even a
    small fraction keeps everything.

    Formula
    -------
    F = D B Dᵀ for each block B of block x block pixels, D the orthonormal DCT-II matrix; of all F over the whole page,
    the round(keep · n) largest |F| and every DC stay, rounded to integers; the others become 0. Back: B = Dᵀ F D.

    Parameters
    ----------
    keep : float in (0, 1]
        Fraction of the page's coefficients to keep, by magnitude over the whole page. An RGB page is transformed plane
        by plane, with one ranking for all three.
    block : int, 2 to 128
        Side of a block in pixels. 14 is the patch size of a GLM-4V's vision tower.

    Source
    ------
    Method 1 of "Frequency-Aware Vector Quantization for VLM Compression".
    """

    keep: float = 0.5
    block: int = 14

    LEVELS = {
        "ultra_mild": {"keep": 0.80},
        "mild": {"keep": 0.50},
        "aggressive": {"keep": 0.20},
        "extreme": {"keep": 0.05},
    }

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:  # also refuses NaN
            raise UserError(f"keep {self.keep:g}: give a fraction over 0 and at most 1, such as 0.5")
        _check_block(self.block)

    def encode(self, page: Page) -> bytes:
        """The page's kept coefficients as a stream."""
        planes = _transformed(page, self.block)
        planes *= largest(planes, self.keep)
        return write_coefficients(page, Coefficients(_arranged(_rounded(planes, 0.5))))

    def decode(self, stream: bytes) -> Page:
        """The page of a stream, with the block size of the stream."""
        return read_blocks(stream)


@dataclass(frozen=True)
class DctQuantize(ImageCodec):
    """Divide a page's block DCT by a step that grows with frequency, and round towards zero.

    Like JPEG, but with blocks of the model's patch size, a dead zone (G. J. Sullivan, IEEE Transactions on Information
    Theory 42(5), 1996), and coefficients of similar frequencies coded together instead of runs of zeros. Unlike
    thresholding, it uses a coarser resolution for high frequencies.

    Each level is the largest step, in units of five or less, within the harm of `freqq.image.legibility`, judged on
    three pages. No other weight (0 to 3) or dead zone (0 to 0.4) was clearly better on these pages.

    Formula
    -------
    q = sign(F) · floor(|F| / s + (1 - dead_zone) / 2), s(u, v) = step · (1 + weight · r(u, v)), r the radial frequency
    as a fraction of the block's highest. Back: F = q · s.

    Parameters
    ----------
    step : float, 1 to 8191
        Step of the DC in gray levels, rounded to eighths.
    weight : float, 0 to 15.9
        The step of the highest radial frequency is 1 + weight times as large; rounded to sixteenths.
    dead_zone : float, 0 to 1
        The interval that becomes 0 is wider than a step by this fraction of a step.
    block : int, 2 to 128
        Side of a block in pixels.

    Source
    ------
    JPEG (ITU-T T.81) for the idea of steps by frequency; the dead zone: G. J. Sullivan, IEEE Transactions on
    Information Theory 42(5), 1996.
    """

    step: float = 30.0
    weight: float = 2.0
    dead_zone: float = 0.2
    block: int = 14

    LEVELS = {
        "ultra_mild": {"step": 16.0},
        "mild": {"step": 30.0},
        "aggressive": {"step": 45.0},
        "extreme": {"step": 65.0},
    }

    def __post_init__(self) -> None:
        _check_block(self.block)
        for name, low, high in (
            ("step", 1, stored.MOST_STEP), ("weight", 0, stored.MOST_WEIGHT), ("dead_zone", 0, 1)
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:  # also refuses NaN
                raise UserError(f"{name} {value:g}: give {low} to {high:g}")

    def encode(self, page: Page) -> bytes:
        """The page's quantized coefficients as a stream."""
        step, weight = round(self.step * (1 << stored.STEP_BITS)), round(self.weight * stored.WEIGHT_UNIT)
        per_unit = ((1 << stored.STEP_BITS) / stored.steps(self.block, step, weight)).astype(np.float32)
        planes = _transformed(page, self.block)
        planes *= per_unit
        symbols = _arranged(_rounded(planes, 0.5 * (1 - self.dead_zone)))
        return write_coefficients(page, Coefficients(symbols, step, weight))

    def decode(self, stream: bytes) -> Page:
        """The page of a stream, with the steps of the stream."""
        return read_blocks(stream)


def largest(coefficients: NDArray[np.float32], keep: float) -> NDArray[np.bool_]:
    """Mask of the coefficients [..., block, block] in the `keep` fraction of largest magnitude, and of every DC.

    Ties go to the first in memory, so that the count is exact and the choice deterministic. Positive floating-point
    numbers sort like their bits: a histogram of the upper bits finds the bin of the threshold, and only that bin is
    sorted.
    """
    magnitudes = np.abs(coefficients)
    mask = np.empty_like(magnitudes, bool)  # the same memory order
    flat, kept = magnitudes.ravel("K"), mask.ravel("K")
    count = round(keep * flat.size)
    if count in (0, flat.size):
        kept[:] = count > 0
    else:
        bins = flat.view(np.uint32) >> BIN_BITS
        at_least = np.append(np.cumsum(np.bincount(bins)[::-1])[::-1], 0)
        last = int(np.flatnonzero(at_least >= count)[-1])
        candidates = np.flatnonzero(bins == last)
        ranked = candidates[np.argsort(-flat[candidates], kind="stable")]
        some = count - int(at_least[last + 1])
        np.greater(bins, last, out=kept)
        kept[ranked[:some]] = True
    mask[..., 0, 0] = True
    return mask


def _check_block(block: int) -> None:
    if not stored.MIN_BLOCK <= block <= stored.MAX_BLOCK:
        raise UserError(f"block {block}: give {stored.MIN_BLOCK} to {stored.MAX_BLOCK} pixels, such as 14")


def _transformed(page: Page, block: int) -> NDArray[np.float32]:
    """Coefficients float32 [planes, rows, columns, block, block]."""
    check_size(*page.pixels.shape[:2])
    if page.pixels.ndim == 2:
        return block_dct(page.pixels, block)[None]
    return np.stack([block_dct(plane, block) for plane in np.moveaxis(page.pixels, 2, 0)])


def _rounded(values: NDArray[np.float32], half: float) -> NDArray[np.int16]:
    """Round to integers, adding `half` before truncation; less than 0.5 rounds towards zero."""
    values += np.copysign(np.float32(half), values)
    return values.astype(np.int16)


def _arranged(symbols: NDArray[np.int16]) -> NDArray[np.int16]:
    """Symbols [planes, rows, columns, block, block] with the frequencies first."""
    return np.ascontiguousarray(symbols.transpose(3, 4, 0, 1, 2))
