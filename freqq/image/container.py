"""The stream of a page (.fqi).

After the frame of `freqq.coding.stream`:

    1 byte    coding: 0 plain pixels, 2 the file of a standard codec, 3 text, 4 patterns of a codebook, 6 block DCT
    1 byte    planes: 1 gray, 3 RGB
    2 bytes   height      2 bytes   width

Plain pixels are one LZMA section of height·width·planes bytes. The other codings are described in
`freqq.image.embedded`, `text`, `vq` and `coefficients`; `freqq.image.streams` reads all of them.
"""

import struct
from typing import NamedTuple

from freqq.coding.stream import StreamReader, StreamWriter
from freqq.errors import UserError
from freqq.pages.page import Page
from freqq.pages.style import MAX_PAGE_SIDE

MAGIC, VERSION = b"FQI ", 1
PLAIN, FILE, TEXT, VQ, DCT = 0, 2, 3, 4, 6
HEADER = struct.Struct("<BBHH")
MAX_PIXELS = 14 * 14 * 2 * 2 * 2 * 6144
"""More than any GLM-4V uses: transformers' `Glm4vImageProcessor` scales a still image down to 5.9 million pixels (its
`longest_edge` counts two frames), and Glyph's configuration to half of that."""


class Header(NamedTuple):
    """The header of every stream: the coding and size of its page."""

    coding: int
    planes: int
    height: int
    width: int


def size_fits(height: int, width: int) -> bool:
    """Whether a page of this size can be stored."""
    return 1 <= height <= MAX_PAGE_SIDE and 1 <= width <= MAX_PAGE_SIDE and height * width <= MAX_PIXELS


def check_size(height: int, width: int) -> None:
    """Refuse a page that is too large (or empty) with a `UserError`."""
    if not size_fits(height, width):
        raise UserError(
            f"{width} x {height} pixels: a page has 1 to {MAX_PAGE_SIDE} a side and at most {MAX_PIXELS:,} in all; "
            "scale it down or split it"
        )


def write_plain(page: Page) -> bytes:
    """The lossless stream of a page."""
    writer = start(PLAIN, page)
    writer.lzma_section(page.pixels)
    return writer.finish()


def opened(stream: bytes) -> tuple[Header, StreamReader]:
    """A stream's header, and a reader of its rest.

    Raises
    ------
    CorruptStream
        If it is not a complete, undamaged stream of this version, or its page is out of bounds.
    """
    reader = StreamReader(stream, MAGIC, VERSION)
    header = Header(*reader.header(HEADER))
    if header.planes not in (1, 3) or not size_fits(header.height, header.width):
        raise reader.corrupt(
            f"a page of {header.height} x {header.width} pixels in {header.planes} planes is out of bounds"
        )
    return header, reader


def opened_as(coding: int, stream: bytes) -> tuple[Header, StreamReader]:
    """Like `opened`, but refuses a stream of another coding."""
    header, reader = opened(stream)
    if header.coding != coding:
        raise reader.corrupt(f"its coding is {header.coding}, not {coding}")
    return header, reader


def read_plain(stream: bytes) -> Page:
    """The page of a stream of plain pixels.

    Raises
    ------
    CorruptStream
        If it is not a complete, undamaged stream of them.
    """
    (_, planes, height, width), reader = opened_as(PLAIN, stream)
    pixels = reader.lzma_section(height * width * planes, "u1")
    reader.end()
    return Page(pixels.reshape((height, width) if planes == 1 else (height, width, 3)))


def start(coding: int, page: Page) -> StreamWriter:
    """A writer with the header of a page already written; of the page only the size is used.

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
