"""The stream of a page (.fqi).

After the frame of `freqq.frequency.stream`:

    1 byte    coding: 0 plain pixels, 1 sparse block DCT, 2 the file of a standard codec, 3 text,
              4 patterns of a codebook
    1 byte    planes: 1 gray, 3 RGB
    2 bytes   height      2 bytes   width

What follows of a file is described in `freqq.image.embedded`, and of a text in `freqq.image.text`;
`freqq.image.streams` has all codings and reads any of them.

Plain pixels: one LZMA section of height·width·planes bytes. Sparse block DCT, where coefficients are in the order
plane, row of blocks, column of blocks, vertical frequency, horizontal frequency:

    1 byte    block side, 2 to 128
    4 bytes   number of coefficients that are not 0
    4 bytes   number of those whose magnitude is 255 or more
    sections  LZMA: which are not 0 (bits), their magnitudes up to 255 (bytes), which are negative (bits),
              the magnitudes from 255 on (2 bytes)
"""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from freqq.errors import UserError
from freqq.frequency.blocks import whole_blocks
from freqq.frequency.stream import StreamReader, StreamWriter
from freqq.pages.page import Page
from freqq.pages.style import MAX_PAGE_SIDE

MAGIC, VERSION = b"FQI ", 1
PLAIN, BLOCKS, FILE, TEXT, VQ = 0, 1, 2, 3, 4
HEADER = struct.Struct("<BBHH")
BLOCKS_HEADER = struct.Struct("<BII")
MAX_PIXELS = 14 * 14 * 2 * 2 * 2 * 6144
"""More than any GLM-4V takes: transformers' `Glm4vImageProcessor` scales a still image down to 5.9 million pixels (its
`longest_edge` counts two frames), and Glyph's own configuration to half of this."""

ESCAPE = 255
MIN_BLOCK, MAX_BLOCK = 2, 128
"""The DC of a block of 128 is at most 128 x 255, which 16 bits still hold."""


class Header(NamedTuple):
    """What every stream says of its page: how it is coded, and how large it is."""

    coding: int
    planes: int
    height: int
    width: int


def size_fits(height: int, width: int) -> bool:
    """Whether a page is of a size that can be stored."""
    return 1 <= height <= MAX_PAGE_SIDE and 1 <= width <= MAX_PAGE_SIDE and height * width <= MAX_PIXELS


def check_size(height: int, width: int) -> None:
    """Refuse a page that is too large (or empty) with a `UserError`."""
    if not size_fits(height, width):
        raise UserError(
            f"{width} x {height} pixels: a page has 1 to {MAX_PAGE_SIDE} a side and at most {MAX_PIXELS:,} in all; "
            "scale it down or split it"
        )


def write_plain(page: Page) -> bytes:
    """A page without any loss."""
    writer = start(PLAIN, page)
    writer.lzma_section(page.pixels)
    return writer.finish()


def write_blocks(page: Page, coefficients: NDArray[np.int16]) -> bytes:
    """Rounded coefficients int16 [planes, rows, columns, block, block] of a page; only its size is read."""
    kept = coefficients[coefficients != 0]
    magnitudes = np.abs(kept)
    large = magnitudes[magnitudes >= ESCAPE]
    writer = start(BLOCKS, page)
    writer.header(BLOCKS_HEADER, coefficients.shape[-1], kept.size, large.size)
    writer.lzma_section(np.packbits(coefficients != 0))
    writer.lzma_section(np.minimum(magnitudes, ESCAPE).astype(np.uint8))
    writer.lzma_section(np.packbits(kept < 0))
    writer.lzma_section(large.astype(np.uint16))
    return writer.finish()


def opened(stream: bytes) -> tuple[Header, StreamReader]:
    """A stream's header, and a reader of what follows it.

    Raises
    ------
    CorruptStream
        If it is no whole, undamaged stream of this version, or its page is out of bounds.
    """
    reader = StreamReader(stream, MAGIC, VERSION)
    header = Header(*reader.header(HEADER))
    if header.planes not in (1, 3) or not size_fits(header.height, header.width):
        raise reader.corrupt(
            f"a page of {header.height} x {header.width} pixels in {header.planes} planes is out of bounds"
        )
    return header, reader


def opened_as(coding: int, stream: bytes) -> tuple[Header, StreamReader]:
    """As `opened`, but a stream of another coding is refused."""
    header, reader = opened(stream)
    if header.coding != coding:
        raise reader.corrupt(f"its coding is {header.coding}, not {coding}")
    return header, reader


def read(stream: bytes) -> tuple[tuple[int, int], NDArray[np.uint8] | NDArray[np.int16]]:
    """Height and width of a page, and its pixels uint8 [H, W] or [H, W, 3], or its coefficients as in `write_blocks`.

    Raises
    ------
    CorruptStream
        If it is anything but a whole, undamaged stream of plain pixels or of blocks.
    """
    (coding, planes, height, width), reader = opened(stream)
    if coding == PLAIN:
        pixels = reader.lzma_section(height * width * planes, "u1")
        reader.end()
        return (height, width), pixels.reshape((height, width) if planes == 1 else (height, width, 3))
    if coding != BLOCKS:
        raise reader.corrupt(f"its coding is {coding}, not {PLAIN} or {BLOCKS}")
    coefficients = _read_blocks(reader, planes, height, width)
    reader.end()
    return (height, width), coefficients


def describe_blocks(stream: bytes) -> dict[str, int]:
    """What the header says of the coefficients in a stream."""
    block, kept, _ = opened_as(BLOCKS, stream)[1].header(BLOCKS_HEADER)
    return {"block": block, "coefficients": kept}


def _read_blocks(reader: StreamReader, planes: int, height: int, width: int) -> NDArray[np.int16]:
    block, kept, large = reader.header(BLOCKS_HEADER)
    if not MIN_BLOCK <= block <= MAX_BLOCK:
        raise reader.corrupt(f"blocks of {block} pixels are out of bounds")
    shape = (planes, whole_blocks(height, block), whole_blocks(width, block), block, block)
    count = int(np.prod(shape))
    if kept > count or large > kept:
        raise reader.corrupt(f"{kept} coefficients do not fit into {count}")
    bits = reader.lzma_section(-(-count // 8), "u1")
    magnitudes = reader.lzma_section(kept, "u1")
    negative = np.unpackbits(reader.lzma_section(-(-kept // 8), "u1"), count=kept).astype(bool)
    escaped = reader.lzma_section(large, "<u2")
    significant = np.unpackbits(bits, count=count).astype(bool)
    is_large = magnitudes == ESCAPE
    if significant.sum() != kept or is_large.sum() != large or (escaped > np.iinfo(np.int16).max).any():
        raise reader.corrupt("its sections contradict each other")
    values = magnitudes.astype(np.int16)
    values[is_large] = escaped
    values[negative] *= -1
    coefficients = np.zeros(count, np.int16)
    coefficients[significant] = values
    return coefficients.reshape(shape)


def start(coding: int, page: Page) -> StreamWriter:
    """A writer to which the header of a page was given; only the page's size is read.

    Raises
    ------
    UserError
        If the page is too large.
    """
    height, width = page.pixels.shape[:2]
    check_size(height, width)
    writer = StreamWriter(MAGIC, VERSION)
    writer.header(HEADER, coding, 1 if page.pixels.ndim == 2 else 3, height, width)
    return writer
