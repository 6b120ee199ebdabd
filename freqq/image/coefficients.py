"""The block DCT of a page in an .fqi stream.

After the header of `freqq.image.container`:

    1 byte    block side, 2 to 128
    2 bytes   step of the DC in eighths of a gray level, 8 or more
    1 byte    weight in sixteenths: the step of the highest radial frequency is 1 + weight times as large
    4 bytes   n, the number of distinct blocks
    section   zlib, absent if all are distinct: for each block 0 if it is the next distinct one, else the number (from
              1) of the one that it repeats, 4 bytes each
    ...       the coefficients of the distinct blocks, coded by `freqq.coding.integers`

Blocks are in the order plane, row, column. Coefficients are in the order diagonal (the sum of both frequencies),
vertical frequency, block; bands of diagonals, which begin at `BANDS`, are coded separately.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freqq.coding import integers
from freqq.image import container
from freqq.pages.page import Page
from freqq.transforms.blocks import restore_pixels, whole_blocks

HEADER = struct.Struct("<BHBI")
MIN_BLOCK, MAX_BLOCK = 2, 128
"""The DC of a block of 128 is at most 128 x 255, which fits 16 bits."""

LARGEST = 0x7FFF
"""The largest magnitude of a symbol."""

STEP_BITS = 3
WEIGHT_UNIT = 16
MOST_STEP, MOST_WEIGHT = 0xFFFF >> STEP_BITS, 255 / WEIGHT_UNIT

BANDS = (0, 1, 2, 3, 5, 7, 10, 14, 19, 27, 38, 54, 76, 107, 151, 214)
"""The first diagonal of each band. Narrower bands would save a page of text 1 % at most, and on a small page the
statistics of each band cost more than that."""


@dataclass(frozen=True)
class Coefficients:
    """A page's quantized coefficients.

    Parameters
    ----------
    symbols : int16 [block, block, planes, rows, columns]
        Vertical and horizontal frequency, then planes (1 gray, 3 RGB), rows and columns of blocks.
    step : int
        The DC's step, in eighths of a gray level, 8 to 65,535.
    weight : int
        Growth of the step towards high frequencies, in sixteenths, 0 to 255.
    """

    symbols: NDArray[np.int16]
    step: int = 1 << STEP_BITS
    weight: int = 0

    @property
    def steps(self) -> NDArray[np.int64]:
        """The step of each frequency [block, block], in eighths of a gray level."""
        return steps(len(self.symbols), self.step, self.weight)


@lru_cache(maxsize=64)
def steps(block: int, step: int, weight: int) -> NDArray[np.int64]:
    """Steps [block, block] that grow linearly with the radial frequency. Cached: do not write to it."""
    along = np.arange(block) / (block - 1)
    radius = np.sqrt((along[:, None] ** 2 + along**2) / 2)
    return np.rint(step * (1 + weight / WEIGHT_UNIT * radius)).astype(np.int64)


def write_coefficients(page: Page, content: Coefficients) -> bytes:
    """The stream of a page's coefficients; of the page itself only the size is used."""
    block = len(content.symbols)
    kept, repeats = _distinct(content.symbols.reshape(block * block, -1))
    writer = container.start(container.DCT, page)
    writer.header(HEADER, block, content.step, content.weight, kept.shape[1])
    if repeats.any():
        writer.zlib_section(repeats)
    order, starts = _bands(block)
    writer.array(np.frombuffer(integers.encode(b.ravel() for b in np.split(kept[order], starts[1:])), np.uint8))
    return writer.finish()


def read_coefficients(stream: bytes) -> Coefficients:
    """The coefficients in a stream.

    Raises
    ------
    CorruptStream
        If it is not a complete, undamaged stream of them.
    """
    (_, planes, height, width), reader = container.opened_as(container.DCT, stream)
    block, step, weight, distinct = reader.header(HEADER)
    if not MIN_BLOCK <= block <= MAX_BLOCK or step < 1 << STEP_BITS:
        raise reader.corrupt(f"blocks of {block} pixels with a step of {step} are out of bounds")
    shape = (planes, whole_blocks(height, block), whole_blocks(width, block))
    count = int(np.prod(shape))
    if not 1 <= distinct <= count:
        raise reader.corrupt(f"{distinct} of {count} blocks cannot be different")
    repeats = reader.zlib_section(count, "<u4") if distinct < count else np.zeros(count, np.uint32)
    is_new = repeats == 0
    if is_new.sum() != distinct or repeats.max() > distinct:
        raise reader.corrupt("a block repeats one that does not exist")
    order, starts = _bands(block)
    places = np.split(order, starts[1:])
    symbols = np.empty((block * block, distinct), np.int16)
    try:
        for place, band in zip(
            places, integers.decode(reader.rest(), [len(p) * distinct for p in places]), strict=True
        ):
            symbols[place] = band.reshape(-1, distinct)
    except ValueError as error:
        raise reader.corrupt(f"its coefficients do not decode ({error})") from error
    if symbols.min() < -LARGEST:
        raise reader.corrupt("a coefficient is out of range")
    if distinct < count:
        symbols = symbols[:, np.where(is_new, np.cumsum(is_new), repeats) - 1]
    return Coefficients(symbols.reshape(block, block, *shape), step, weight)


def read_blocks(stream: bytes) -> Page:
    """The page of a stream of coefficients.

    Raises
    ------
    CorruptStream
        As `read_coefficients`.
    """
    content = read_coefficients(stream)
    height, width = container.opened(stream)[0][2:]
    planes = [
        restore_pixels(content.symbols[:, :, plane], content.steps, STEP_BITS, height, width)
        for plane in range(content.symbols.shape[2])
    ]
    return Page(planes[0] if len(planes) == 1 else np.stack(planes, axis=2))


def describe_blocks(stream: bytes) -> dict[str, Any]:
    """The header of a stream of coefficients; steps in gray levels."""
    block, step, weight, _ = container.opened_as(container.DCT, stream)[1].header(HEADER)
    return {"block": block, "step": step / (1 << STEP_BITS), "weight": weight / WEIGHT_UNIT}


@lru_cache(maxsize=64)
def _bands(block: int) -> tuple[NDArray[np.intp], list[int]]:
    """The order of a block's frequencies, and the start of each band in it. Cached: do not write to it."""
    diagonals = np.add.outer(np.arange(block), np.arange(block)).ravel()
    order = np.argsort(diagonals, kind="stable")
    return order, np.searchsorted(diagonals[order], [b for b in BANDS if b <= 2 * (block - 1)]).tolist()


def _distinct(symbols: NDArray[np.int16]) -> tuple[NDArray[np.int16], NDArray[np.uint32]]:
    """The distinct columns [frequencies, n], and for all columns [N] the number of the one that each repeats, or 0.

    Letters on a grid of pixels repeat. Blocks are hashed by one product with random integers, exact in float64; if two
    different blocks ever collide, no repetitions are used.
    """
    marks = np.random.default_rng(0).integers(1, 1 << 24, len(symbols)).astype(np.float64) @ symbols
    _, first, inverse = np.unique(marks, return_index=True, return_inverse=True)
    order = np.argsort(first)
    names = np.argsort(order)[inverse]
    repeats = (names + 1).astype(np.uint32)
    repeats[first] = 0
    kept, repeating = symbols[:, first[order]], np.flatnonzero(repeats)
    if not len(repeating) or (kept[:, names[repeating]] != symbols[:, repeating]).any():
        return symbols, np.zeros_like(repeats)
    return kept, repeats
