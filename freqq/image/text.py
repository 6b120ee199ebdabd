"""Store the text of a page instead of its pixels: a lower bound for the size.

After the header of `freqq.image.container`:

    4 bytes   CRC-32 of the pixels drawn from the text
    ...       Zstandard: the style as JSON (`freqq.pages.redraw.style_json`), a newline, the numbers of the lines that
              paragraphs start with (separated by spaces), a newline, the lines of the page

Drawing depends on the font and on FreeType; the checksum ensures that a page is decoded to the same pixels everywhere,
or not at all.
"""

import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import zstandard
from PIL import Image

from freqq.coding.stream import CorruptStream, StreamReader
from freqq.errors import UserError
from freqq.image.base import ImageCodec
from freqq.image.container import TEXT, Header, opened_as, size_fits, start
from freqq.pages.glyph import GlyphConfig
from freqq.pages.page import Page
from freqq.pages.redraw import paragraph_starts, parse_style, redraw, style_json
from freqq.pages.style import Style

CHECKSUM = struct.Struct("<I")
LEVEL = 19
MAX_BYTES = 1 << 18
"""Most text on a page: about twenty times that of a page of Glyph's."""

MAX_FONT_PX, MAX_GLYPHS = 128, 2048
"""Together they bound the memory for glyphs."""


@dataclass(frozen=True)
class Text(ImageCodec):
    """Store the text and style of a page; redraw it to decode.

    A lower bound to compare other codecs with. It can only encode pages that freqq drew itself or whose text is given.
    `freqq.pages.redraw.redraw` says for which styles the decoded page is exact; it is for Glyph's evaluation and the
    built-in data. All levels are the same.

    Formula
    -------
    None: text and style by Zstandard, redrawn to decode.

    Source
    ------
    A lower bound.
    """

    def encode(self, page: Page) -> bytes:
        """The page's text and style. If the style is unknown, that of Glyph's evaluation is assumed."""
        if not page.text.strip() and page.style is None:
            raise UserError("the codec text needs the text of a page, which is not known for this image: give --text")
        style = page.style or GlyphConfig()
        if reason := _refused(page.text, style):
            raise UserError(f"the codec text cannot store this page: {reason}")
        starts = paragraph_starts(replace(page, style=style))
        height, width = page.pixels.shape[:2]
        drawn = _redrawn(page.text, style, starts, Header(TEXT, 1 if page.pixels.ndim == 2 else 3, height, width))
        content = "\n".join((style_json(style), " ".join(map(str, starts)), page.text)).encode()
        writer = start(TEXT, page)
        writer.header(CHECKSUM, _checksum(drawn))
        writer.array(np.frombuffer(zstandard.ZstdCompressor(level=LEVEL).compress(content), np.uint8))
        return writer.finish()

    def decode(self, stream: bytes) -> Page:
        """The redrawn page, with its text."""
        return read_text(stream)


def read_text(stream: bytes) -> Page:
    """The page of a stream of text, redrawn.

    Raises
    ------
    CorruptStream
        If it is not a complete, undamaged stream, or is drawn differently here, for example because of another font.
    """
    header, reader = opened_as(TEXT, stream)
    checksum, style, starts, text = _content(reader)
    try:
        page = _redrawn(text, style, starts, header)
    except Exception as error:  # a forged style may fail anywhere
        raise reader.corrupt("its text cannot be drawn") from error
    if _checksum(page) != checksum:
        raise CorruptStream("the redrawn page differs from the stored one: is another font or FreeType installed?")
    return page


def describe_text(stream: bytes) -> dict[str, Any]:
    """Style and length of a stream of text."""
    _, style, _, text = _content(opened_as(TEXT, stream)[1])
    return {"style": style_json(style), "lines": text.count("\n") + 1, "characters": len(text)}


def _content(reader: StreamReader) -> tuple[int, GlyphConfig | Style, list[int], str]:
    (checksum,) = reader.header(CHECKSUM)
    compressed = reader.rest()
    try:
        size = zstandard.get_frame_parameters(compressed).content_size
        if not 0 < size <= 2 * MAX_BYTES:
            raise reader.corrupt(f"a text of {size} bytes is out of bounds")
        content = zstandard.ZstdDecompressor().decompress(compressed, allow_extra_data=False)
        parts = content.decode().split("\n", 2)
        if len(parts) < 3 or not re.fullmatch(r"(\d{1,6}( \d{1,6})*)?", parts[1], re.ASCII):
            raise reader.corrupt("the beginning of its text cannot be read")
        style, starts, text = parse_style(parts[0]), [int(n) for n in parts[1].split()], parts[2]
        if starts != sorted(set(starts)) or (starts and not 0 < starts[0] <= starts[-1] <= text.count("\n")):
            raise reader.corrupt("its paragraphs do not start at its lines")
    except zstandard.ZstdError as error:
        raise reader.corrupt("its text does not decompress") from error
    except UnicodeDecodeError as error:
        raise reader.corrupt("its text is not UTF-8") from error
    except CorruptStream:
        raise
    except UserError as error:
        raise reader.corrupt(str(error)) from error
    if reason := _refused(text, style):
        raise reader.corrupt(reason)
    return checksum, style, starts, text


def _refused(text: str, style: GlyphConfig | Style) -> str:
    """Why this cannot be stored; empty if it can. A stream may only name fonts that come with freqq, not files."""
    if isinstance(style, Style):
        font, font_px, (width, height) = style.font, style.font_size, (style.width, style.height)
    else:
        font, font_px, (width, height) = style.font_path, style.font_size * style.scale, style.page_pixels
    if (size := len(text.encode())) > MAX_BYTES:
        return f"its text has {size:,} bytes, and {MAX_BYTES:,} are allowed"
    if not isinstance(font, str) or not re.fullmatch(r"[\w-]+", font):
        return f"its font is {font!r} and not one that comes with freqq, such as DejaVuSans"
    if font_px > MAX_FONT_PX:
        return f"its letters have {font_px:g} px, and {MAX_FONT_PX} are allowed"
    if len(set(text)) > MAX_GLYPHS:
        return f"its text has more than {MAX_GLYPHS:,} characters of its own"
    if not size_fits(height, width):
        return f"it is drawn at {width} x {height} px, which is too large"
    return ""


def _redrawn(text: str, style: GlyphConfig | Style, starts: Sequence[int], header: Header) -> Page:
    """The text redrawn and cropped, or extended with its background, to the page's size."""
    page = redraw(text, style, starts)
    pixels = page.pixels
    if header.planes == 3 and pixels.ndim == 2:
        pixels = np.stack([pixels] * 3, axis=2)
    elif header.planes == 1 and pixels.ndim == 3:
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))
    pixels = pixels[: header.height, : header.width]
    below, right = header.height - pixels.shape[0], header.width - pixels.shape[1]
    if below or right:
        # The last pixel belongs to the margin, so it has the background's colour.
        extended = np.empty((header.height, header.width, *pixels.shape[2:]), np.uint8)
        extended[:] = pixels[-1, -1]
        extended[: pixels.shape[0], : pixels.shape[1]] = pixels
        pixels = extended
    return Page(np.ascontiguousarray(pixels), page.lines, style)


def _checksum(page: Page) -> int:
    return zlib.crc32(page.pixels.tobytes())
