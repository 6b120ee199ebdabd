"""The block DCT of a page in an .fqi stream.

After the header of `freqq.image.container`:

    1 byte    block side, 2 to 128
    2 bytes   step of the DC in eighths of a gray level, 8 or more
    1 byte    weight in sixteenths: the highest radial frequency has a step that is 1 + weight times as large
    2 bytes   gap: magnitudes over 0 are stored less this
    4 bytes   n, how many blocks differ from all before them
    section   unless all do, zlib: for each block 0 if it is the next of those, else which of them it is (the first is
              1), 4 bytes each
    ...       the coefficients of those, as `freqq.frequency.magnitudes` codes numbers

Blocks are in the order plane, row, column, and coefficients in that of vertical frequency, horizontal frequency, block.
They are coded by diagonals (the sum of both frequencies), and within a diagonal by class: how large those are of the
same block that lie beside and before them on the two diagonals before, as in the context models of image coders since
EBCOT (D. Taubman, IEEE Transactions on Image Processing 9(7), 2000).
"""

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freqq.frequency.blocks import restored, whole_blocks
from freqq.frequency.magnitudes import BUCKET, Decoder, Encoder
from freqq.image import container
from freqq.pages.page import Page

HEADER = struct.Struct("<BHBHI")
MIN_BLOCK, MAX_BLOCK = 2, 128
"""The DC of a block of 128 is at most 128 x 255, which 16 bits still hold."""

STEP_BITS = 3
WEIGHT_UNIT = 16
MOST_STEP, MOST_WEIGHT = 0xFFFF >> STEP_BITS, 255 / WEIGHT_UNIT

CLASS_EDGES = np.array([1, 2, 3, 5, 7, 10, 14, 19, 25, 32, 40, 50, 62, 76, 92, 110], np.uint8)
"""Where classes begin: by the weighted sum of the buckets around, whose weights add up to 7."""


@dataclass(frozen=True)
class Coefficients:
    """A page's quantized coefficients.

    Parameters
    ----------
    symbols : int16 [block, block, planes, rows, columns]
        Vertical and horizontal frequency, then planes (1 gray, 3 RGB), rows and columns of blocks.
    step : int
        What a symbol of 1 stands for at DC, in eighths of a gray level, 8 to 65,535.
    weight : int
        How fast steps grow towards high frequencies, in sixteenths, 0 to 255.
    """

    symbols: NDArray[np.int16]
    step: int = 1 << STEP_BITS
    weight: int = 0

    @property
    def steps(self) -> NDArray[np.int64]:
        """What a symbol of 1 stands for [block, block], in eighths of a gray level."""
        return steps(len(self.symbols), self.step, self.weight)


@lru_cache(maxsize=64)
def steps(block: int, step: int, weight: int) -> NDArray[np.int64]:
    """Steps [block, block] that grow linearly with the radial frequency. Cached: do not write to it."""
    along = np.arange(block) / (block - 1)
    radius = np.sqrt((along[:, None] ** 2 + along**2) / 2)
    return np.rint(step * (1 + weight / WEIGHT_UNIT * radius)).astype(np.int64)


def write_coefficients(page: Page, content: Coefficients) -> bytes:
    """The stream of a page's coefficients; only the size of the page itself is read."""
    block = len(content.symbols)
    flat, repeats = _distinct(content.symbols.reshape(block, block, -1))
    magnitudes = np.abs(flat).view(np.uint16)
    over_0 = magnitudes != 0
    gap = int((magnitudes - np.uint16(1)).min()) % 0xFFFF  # 0 wraps around; if there is nothing else, no gap
    if gap:
        np.subtract(magnitudes, np.uint16(gap), out=magnitudes, where=over_0)
    around = _room(block, flat.shape[2])
    around[2:, 2:] = BUCKET[magnitudes]
    bucket = np.ascontiguousarray(around[2:, 2:])
    encoder = Encoder(int(bucket.max()) + 1, CLASS_EDGES)
    for diagonal in range(2 * block - 1):
        encoder.put(_diagonal(around, diagonal).reshape(1, -1), _sums(around, diagonal).ravel())
    writer = container.start(container.DCT, page)
    writer.header(HEADER, block, content.step, content.weight, gap, flat.shape[2])
    if repeats.any():
        writer.zlib_section(repeats)
    encoder.write(writer, magnitudes.ravel(), bucket.ravel(), flat.ravel() < 0)
    return writer.finish()


def read_coefficients(stream: bytes) -> Coefficients:
    """The coefficients in a stream.

    Raises
    ------
    CorruptStream
        If it is anything but a whole, undamaged stream of them.
    """
    (_, planes, height, width), reader = container.opened_as(container.DCT, stream)
    block, step, weight, gap, distinct = reader.header(HEADER)
    if not MIN_BLOCK <= block <= MAX_BLOCK or step < 1 << STEP_BITS:
        raise reader.corrupt(f"blocks of {block} pixels with a step of {step} are out of bounds")
    shape = (planes, whole_blocks(height, block), whole_blocks(width, block))
    count = int(np.prod(shape))
    if not 1 <= distinct <= count:
        raise reader.corrupt(f"{distinct} of {count} blocks cannot be different")
    repeats = reader.zlib_section(count, "<u4") if distinct < count else np.zeros(count, np.uint32)
    is_new = repeats == 0
    if is_new.sum() != distinct or repeats.max() > distinct:
        raise reader.corrupt("a block repeats one that is not there")
    decoder = Decoder(reader, CLASS_EDGES)
    around = _room(block, distinct)
    for diagonal in range(2 * block - 1):
        place = _diagonal(around, diagonal)
        place[:] = decoder.take(1, _sums(around, diagonal).ravel()).reshape(place.shape)
    symbols = decoder.finish(around[2:, 2:].ravel(), gap)
    reader.end()
    if distinct < count:
        symbols = symbols.reshape(-1, distinct)[:, np.where(is_new, np.cumsum(is_new), repeats) - 1]
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
        restored(content.symbols[:, :, plane], content.steps, STEP_BITS, height, width)
        for plane in range(content.symbols.shape[2])
    ]
    return Page(planes[0] if len(planes) == 1 else np.stack(planes, axis=2))


def describe_blocks(stream: bytes) -> dict[str, Any]:
    """What the header says of the coefficients in a stream; steps in gray levels."""
    block, step, weight, *_ = container.opened_as(container.DCT, stream)[1].header(HEADER)
    return {"block": block, "step": step / (1 << STEP_BITS), "weight": weight / WEIGHT_UNIT}


def _distinct(symbols: NDArray[np.int16]) -> tuple[NDArray[np.int16], NDArray[np.uint32]]:
    """The blocks [block, block, n] that differ from all before them, and which of those the others [N] repeat.

    Letters on a grid of pixels repeat. Blocks are told apart by one product with random whole numbers, which is exact
    in float64; should two that differ ever agree in it, none is taken for a repetition.
    """
    flat = symbols.reshape(-1, symbols.shape[2])
    marks = np.random.default_rng(0).integers(1, 1 << 24, len(flat)).astype(np.float64) @ flat
    _, first, inverse = np.unique(marks, return_index=True, return_inverse=True)
    order = np.argsort(first)
    names = np.argsort(order)[inverse]
    repeats = (names + 1).astype(np.uint32)
    repeats[first] = 0
    kept = flat[:, first[order]]
    if not repeats.any() or (kept[:, names] != flat).any():
        return symbols, np.zeros_like(repeats)
    return kept.reshape(*symbols.shape[:2], -1), repeats


def _room(block: int, count: int) -> NDArray[np.uint8]:
    """Buckets [block + 2, block + 2, count], with two frequencies of zeros before the first in both directions."""
    return np.zeros((block + 2, block + 2, count), np.uint8)


def _diagonal(around: NDArray[np.uint8], diagonal: int, up: int = 0, left: int = 0) -> NDArray[np.uint8]:
    """A view [n, count] of a diagonal of blocks with room around, or of what lies so far above and to the left."""
    side = len(around)
    first, last = max(0, diagonal - side + 3), min(diagonal, side - 3)
    start = (first + 2 - up) * side + diagonal - first + 2 - left
    return around.reshape(side * side, -1)[start : start + (last - first) * (side - 1) + 1 : side - 1]


def _sums(around: NDArray[np.uint8], diagonal: int) -> NDArray[np.uint8]:
    """What the two diagonals before hold around each place [n, count] of a diagonal, nearer ones counted twice."""
    total = _diagonal(around, diagonal, 1, 0) + _diagonal(around, diagonal, 0, 1)
    total *= 2
    total += _diagonal(around, diagonal, 1, 1)
    total += _diagonal(around, diagonal, 2, 0)
    total += _diagonal(around, diagonal, 0, 2)
    return total
