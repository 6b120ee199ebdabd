"""Block DCT thresholding: keep a page's largest coefficients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freqq.errors import UserError
from freqq.frequency.blocks import block_dct, block_idct
from freqq.image import container
from freqq.image.base import ImageCodec
from freqq.pages.page import Page


@dataclass(frozen=True)
class BlockDct(ImageCodec):
    """Keep the largest coefficients of a page's block DCT, and every DC; round them to integers; invert.

    Method 1 of "Frequency-Aware Vector Quantization for VLM Compression", whose 50 % is the level ``mild``. Unlike its
    code, a page is padded and not resized to whole blocks, pixels are rounded and not truncated, and the size is that
    of a stream that can be decoded. A page that is mostly blank has fewer than half of its coefficients different from
    0, so on it even a small fraction keeps everything.

    Parameters
    ----------
    keep : float in (0, 1]
        Fraction of all of the page's coefficients to keep, by magnitude over the whole page. An RGB page is taken plane
        by plane, with one ranking for all three.
    block : int, 2 to 128
        Side of a block in pixels. 14 is the patch of a GLM-4V's vision tower.
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
        if not container.MIN_BLOCK <= self.block <= container.MAX_BLOCK:
            raise UserError(
                f"block {self.block}: give {container.MIN_BLOCK} to {container.MAX_BLOCK} pixels, such as 14"
            )

    def encode(self, page: Page) -> bytes:
        """The page's kept coefficients as a stream."""
        planes = page.pixels[None] if page.pixels.ndim == 2 else np.moveaxis(page.pixels, 2, 0)
        coefficients = np.stack([block_dct(plane, self.block) for plane in planes])
        kept = largest(coefficients, self.keep)
        return container.write_blocks(page, np.rint(np.where(kept, coefficients, 0)).astype(np.int16))

    def decode(self, stream: bytes) -> Page:
        """The page of a stream; its own block size counts, not this codec's."""
        (height, width), content = container.read(stream)
        if content.dtype == np.uint8:
            return Page(content.astype(np.uint8))
        planes = [np.clip(np.rint(block_idct(plane, height, width)), 0, 255).astype(np.uint8) for plane in content]
        return Page(planes[0] if len(planes) == 1 else np.stack(planes, axis=2))


def largest(coefficients: NDArray[np.float64], keep: float) -> NDArray[np.bool_]:
    """Which coefficients [..., block, block] are among the `keep` fraction of largest magnitude, or a block's DC.

    Of equal ones that do not all fit, the first are kept, so that the count is exact and the choice is the same always.
    """
    magnitudes = np.abs(coefficients).ravel()
    count = round(keep * magnitudes.size)
    kept = np.ones(magnitudes.size, bool)
    if 0 < count < magnitudes.size:
        smallest = np.partition(magnitudes, magnitudes.size - count)[magnitudes.size - count]
        kept = magnitudes > smallest
        ties = np.flatnonzero(magnitudes == smallest)
        kept[ties[: count - int(kept.sum())]] = True
    elif count == 0:
        kept[:] = False
    mask = kept.reshape(coefficients.shape)
    mask[..., 0, 0] = True
    return mask
