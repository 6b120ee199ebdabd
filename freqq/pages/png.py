"""Pages as PNG files, fast."""

import struct
import zlib

import numpy as np

from freqq.errors import UserError
from freqq.pages.page import Page

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, RGB = 0, 2
"""Colour types of the IHDR chunk."""


def png_bytes(page: Page, level: int = 4) -> bytes:
    """A page as an 8-bit PNG, gray or RGB as the page is, without any metadata.

    Rows are not filtered: deflate finds the repeated glyphs of a text as they are, and a filter would hide them.
    At level 4, a page of 9 pt text at 72 dpi takes a third of the time of Pillow's default (level 6, filtered) and
    87 % of its size. The bytes are the same wherever zlib is; the pixels are the same everywhere.

    Parameters
    ----------
    page : Page
    level : int
        Of zlib: 0 (stored) to 9 (smallest).

    Raises
    ------
    UserError
        If the level is none of these.
    """
    if not 0 <= level <= 9:
        raise UserError(f"PNG compression level {level}: must be 0 to 9")
    height, width = page.pixels.shape[:2]
    # Each row begins with its filter type: 0, none.
    rows = np.zeros((height, 1 + page.pixels[0].size), np.uint8)
    rows[:, 1:] = page.pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, GRAY if page.pixels.ndim == 2 else RGB, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows.tobytes(), level)) + _chunk(b"IEND", b"")
    return SIGNATURE + chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
