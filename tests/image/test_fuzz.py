"""Streams that were damaged on purpose: each is refused, or decoded, in little time and memory."""

import struct
import zlib
from time import process_time

import numpy as np
import pytest

from freqq.coding.codebook_files import MissingCodebook
from freqq.coding.stream import FRAME, CorruptStream
from freqq.image import container, jxl_file
from freqq.image.dct import BlockDct
from freqq.image.embedded import FILE_HEADER, JPEG, JXL, PNG, WEBP, write_file
from freqq.image.gray import Gray2
from freqq.image.resize import Resize
from freqq.image.standard import Jpeg, Jxl, Png, Webp
from freqq.image.streams import decode, describe
from freqq.image.text import Text
from freqq.image.vq import VectorQuantization
from freqq.pages.glyph import GlyphConfig
from freqq.pages.glyph_pages import render_glyph
from freqq.pages.page import Page, png_bytes
from tests.conftest import FULL
from tests.memory import forget_peak, peak_mb

PAGE = next(render_glyph("write a poem about tapirs\n" * 9, GlyphConfig(page_size=(150.0, 120.0))))
COLOUR = Page(np.stack([PAGE.pixels, PAGE.pixels // 2, 255 - PAGE.pixels], axis=2))
STREAMS = {
    "plain": container.write_plain(PAGE),
    "blocks": BlockDct(keep=0.3).encode(PAGE),
    "blocks colour": BlockDct(keep=0.3, block=8).encode(COLOUR),
    "png": Png().encode(PAGE),
    "png colour": Png().encode(COLOUR),
    "jpeg": Jpeg().encode(PAGE),
    "jpeg colour": Jpeg().encode(COLOUR),
    "webp": Webp(quality=40).encode(PAGE),
    "webp lossless": Webp(quality=100).encode(COLOUR),
    "jxl": Jxl(effort=3).encode(PAGE),
    "jxl lossless": Jxl(quality=100, effort=3).encode(COLOUR),
    "resize": Resize().encode(PAGE),
    "gray2": Gray2().encode(PAGE),
    "text": Text().encode(PAGE),
    "patterns": VectorQuantization(tolerance=0).encode(PAGE),
}
EACH = 1400 if FULL else 140
"""Mutations a stream."""
MEMORY_MB = 256
SECONDS = 10.0
"""Of the processor, for a page of 150 x 120 px: what takes longer hangs."""


def outcome(stream):
    """The page of a stream, or the error that it was refused with."""
    try:
        return decode(stream)
    except (MissingCodebook, CorruptStream) as error:
        return error


def signed(body):
    return FRAME.pack(container.MAGIC, container.VERSION, zlib.crc32(body)) + body


def mutated(stream, rng):
    """A stream with a few bytes changed, cut, doubled or inserted; under a checksum that is right nine times of ten."""
    body = bytearray(stream[FRAME.size :])
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(body))) if rng.random() < 0.7 else int(rng.integers(min(40, len(body))))
        match rng.integers(6):
            case 0:
                body[at] ^= 1 << rng.integers(8)
            case 1 | 2:
                body[at] = rng.choice((0, 1, 127, 128, 255, rng.integers(256)))
            case 3:
                del body[at : at + int(rng.integers(1, 9))]
            case 4:
                body[at:at] = rng.bytes(int(rng.integers(1, 5)))
            case _:
                body = body[: max(1, at)]
        if not body:
            body = bytearray(1)
    return signed(bytes(body)) if rng.random() < 0.9 else FRAME.pack(container.MAGIC, 1, 0) + bytes(body)


@pytest.mark.slow
@pytest.mark.parametrize("name", STREAMS)
def test_damaged_streams_are_refused_or_decoded(name):
    rng = np.random.default_rng(sum(name.encode()))
    outcome(STREAMS[name])  # loads what all of them need
    forget_peak()
    before, refused, slowest = peak_mb(), 0, 0.0
    for _ in range(EACH):
        stream, started = mutated(STREAMS[name], rng), process_time()
        found = outcome(stream)
        slowest = max(slowest, process_time() - started)
        if isinstance(found, Page):
            assert found.pixels.dtype == np.uint8
            assert container.size_fits(*found.pixels.shape[:2])
        else:
            refused += isinstance(found, CorruptStream)  # a missing codebook: nothing is wrong but the name
            assert len(str(found).splitlines()) == 1
    assert refused > 0.1 * EACH
    assert slowest < SECONDS
    assert peak_mb() - before < MEMORY_MB


@pytest.mark.parametrize("name", STREAMS)
def test_truncated_streams_are_refused_under_any_checksum(name):
    stream = STREAMS[name]
    for at in np.linspace(0, len(stream) - 1, 40).astype(int):
        with pytest.raises(CorruptStream):
            decode(stream[:at])
    for at in np.linspace(0, FILE_HEADER.size + container.HEADER.size, 12).astype(int):
        with pytest.raises(CorruptStream):
            decode(signed(stream[FRAME.size : FRAME.size + at]))


@pytest.mark.parametrize("name", STREAMS)
def test_a_page_of_65535_x_65535_is_refused_before_it_is_allocated(name):
    body = bytearray(STREAMS[name][FRAME.size :])
    struct.pack_into("<HH", body, 2, 65535, 65535)
    forget_peak()
    before = peak_mb()
    for read in (decode, describe):
        with pytest.raises(CorruptStream, match="out of bounds"):
            read(signed(bytes(body)))
    assert peak_mb() - before < 1


def claiming(kind, side):
    """A file whose own header claims to be `side` pixels wide and high, whatever follows."""
    if kind == PNG:
        content = bytearray(png_bytes(Page(np.zeros((8, 8), np.uint8))))
        struct.pack_into(">II", content, 16, side, side)
        struct.pack_into(">I", content, 29, zlib.crc32(bytes(content[12:29])))
    elif kind == JPEG:
        content = bytearray(Jpeg().encode(PAGE)[20:])
        struct.pack_into(">HH", content, content.index(b"\xff\xc0") + 5, min(side, 65535), min(side, 65535))
    elif kind == WEBP:
        content = bytearray(Webp(quality=40).encode(PAGE)[20:])
        struct.pack_into("<HH", content, 26, min(side, 0x3FFF), min(side, 0x3FFF))
    else:
        # small = 0, height by 30 bits, square.
        content = bytearray(b"\xff\x0a" + (0 | 3 << 1 | (side - 1) << 3 | 1 << 33).to_bytes(8, "little") + bytes(40))
    return bytes(content)


@pytest.mark.parametrize("side", [200, 65535])
@pytest.mark.parametrize("kind", [PNG, JPEG, WEBP, JXL])
def test_a_file_that_claims_another_size_than_the_stream_is_not_decoded(kind, side):
    forget_peak()
    before = peak_mb()
    stream = write_file(PAGE, kind, PAGE.pixels.shape, claiming(kind, side))
    with pytest.raises(CorruptStream, match=r"not of the size|cannot be decoded"):
        decode(stream)
    assert peak_mb() - before < 8


@pytest.mark.parametrize("bit", [37, 38, 39, 42])
def test_a_jpeg_xl_file_of_more_than_plain_pixels_is_not_decoded(bit):
    """Extra fields (an animation), floating point, deeper samples, extra channels: more memory than the size says."""
    content = claiming(JXL, 64)
    assert jxl_file.size(content) == (64, 64)
    more = int.from_bytes(content[2:10], "little") | 1 << bit
    with pytest.raises(ValueError, match="no plain still image"):
        jxl_file.size(content[:2] + more.to_bytes(8, "little") + content[10:])


@pytest.mark.parametrize(("index", "value"), [(0, 4), (1, 0), (1, 65535), (2, 0), (2, 65535), (1, 121), (2, 151)])
def test_file_headers_that_lie_are_refused(index, value):
    body = STREAMS["png"][FRAME.size :]
    fields = list(FILE_HEADER.unpack_from(body, container.HEADER.size))
    fields[index] = value
    end = container.HEADER.size + FILE_HEADER.size
    with pytest.raises(CorruptStream):
        decode(signed(body[: container.HEADER.size] + FILE_HEADER.pack(*fields) + body[end:]))


def test_an_unknown_coding_is_refused():
    body = bytearray(STREAMS["plain"][FRAME.size :])
    body[0] = 250
    with pytest.raises(CorruptStream, match="unknown coding 250"):
        decode(signed(bytes(body)))
