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
"""Bits of a float32 that `largest` leaves out when it counts magnitudes: 256 bins an octave are left."""


@dataclass(frozen=True)
class BlockDct(ImageCodec):
    """Keep the largest coefficients of a page's block DCT, and every DC; round them to integers; invert.

    Method 1 of "Frequency-Aware Vector Quantization for VLM Compression", whose 50 % is the level ``mild``. Unlike its
    code, a page is padded and not resized to whole blocks, pixels are rounded and not truncated, and the size is that
    of a stream that can be decoded. A page that is mostly blank has fewer than half of its coefficients different from
    0, so on it even a small fraction keeps everything.

    Formula
    -------
    F = D B Dᵀ for each block B of block x block pixels, D the orthonormal DCT-II matrix; of all F over the whole page,
    the round(keep · n) largest |F| and every DC stay, rounded to integers; the others become 0. Back: B = Dᵀ F D.

    Parameters
    ----------
    keep : float in (0, 1]
        Fraction of all of the page's coefficients to keep, by magnitude over the whole page. An RGB page is taken plane
        by plane, with one ranking for all three.
    block : int, 2 to 128
        Side of a block in pixels. 14 is the patch of a GLM-4V's vision tower.

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
        """The page of a stream; its own block size counts, not this codec's."""
        return read_blocks(stream)


@dataclass(frozen=True)
class DctQuantize(ImageCodec):
    """Divide a page's block DCT by a step that grows with frequency, and round towards zero.

    What JPEG does, with blocks as large as the patches that the model reads, a dead zone (G. J. Sullivan, IEEE
    Transactions on Information Theory 42(5), 1996), and coefficients of like frequencies coded together instead of runs
    of zeros. Where thresholding keeps some coefficients to the last integer, this spends on each what it is worth.

    The levels are the largest steps, in fives or less, within the harm that `freqq.image.legibility` states for each,
    judged on three pages. Of weights 0 to 3 and dead zones 0 to 0.4, tried on the same pages, none was clearly better
    than these.

    Formula
    -------
    q = sign(F) · floor(|F| / s + (1 - dead_zone) / 2), s(u, v) = step · (1 + weight · r(u, v)), r the radial frequency
    as a fraction of the block's highest. Back: F = q · s.

    Parameters
    ----------
    step : float, 1 to 8191
        Step of the DC in gray levels; it is rounded to eighths.
    weight : float, 0 to 15.9
        The step of the highest radial frequency is 1 + weight times as large; rounded to sixteenths.
    dead_zone : float, 0 to 1
        How much wider than a step the interval is that becomes 0, as a fraction of a step.
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
        """The page of a stream; its own steps count, not this codec's."""
        return read_blocks(stream)


def largest(coefficients: NDArray[np.float32], keep: float) -> NDArray[np.bool_]:
    """Which coefficients [..., block, block] are among the `keep` fraction of largest magnitude, or a block's DC.

    Of equal ones that do not all fit, the first in memory are kept, so that the count is exact and the choice is the
    same always. Bits of positive floating-point numbers are in the order of the numbers, so the threshold is looked for
    by counting their upper halves, and by sorting only those numbers whose upper half it shares.
    """
    magnitudes = np.abs(coefficients)
    mask = np.empty_like(magnitudes, bool)  # of the same order in memory
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
    """Integers nearest to values; with less than a half, those nearer to zero."""
    values += np.copysign(np.float32(half), values)
    return values.astype(np.int16)


def _arranged(symbols: NDArray[np.int16]) -> NDArray[np.int16]:
    """Symbols [planes, rows, columns, block, block] with the frequencies first."""
    return np.ascontiguousarray(symbols.transpose(3, 4, 0, 1, 2))
