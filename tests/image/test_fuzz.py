"""Streams that were damaged on purpose: each is refused, or decoded, in little time and memory."""

import resource
import struct
import zlib
from time import perf_counter

import numpy as np
import pytest

from freqq.frequency.stream import FRAME, CorruptStream
from freqq.image import container
from freqq.image.dct import BlockDct
from freqq.image.embedded import FILE_HEADER, JPEG, JXL, PNG, WEBP, write_file
from freqq.image.gray import Gray2
from freqq.image.jpeg import Jpeg
from freqq.image.jxl import Jxl
from freqq.image.png import Png
from freqq.image.resize import Resize
from freqq.image.streams import decode, describe
from freqq.image.text import Text
from freqq.image.webp import Webp
from freqq.pages.glyph import GlyphConfig
from freqq.pages.page import Page
from freqq.pages.paint import render_glyph
from freqq.pages.png import png_bytes

PAGE = next(render_glyph("write a poem about tapirs\n" * 9, GlyphConfig(page_size=(150.0, 120.0))))
COLOUR = Page(np.stack([PAGE.pixels, PAGE.pixels // 2, 255 - PAGE.pixels], axis=2))
STREAMS = {
    "plain": container.write_plain(PAGE),
    "blocks": BlockDct(keep=0.3).encode(PAGE),
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
}
EACH = 1700
MEMORY_MB = 256


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


def test_there_are_20000_mutations_in_all():
    assert EACH * len(STREAMS) >= 20_000


@pytest.mark.slow
@pytest.mark.parametrize("name", STREAMS)
def test_damaged_streams_are_refused_or_decoded(name):
    rng = np.random.default_rng(sum(name.encode()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused, slowest = 0, 0.0
    for _ in range(EACH):
        stream = mutated(STREAMS[name], rng)
        started, lines = perf_counter(), []
        try:
            page = decode(stream)
            assert page.pixels.dtype == np.uint8
            assert container.size_fits(*page.pixels.shape[:2])
        except CorruptStream as error:
            refused += 1
            lines = str(error).splitlines()
        assert len(lines) <= 1
        slowest = max(slowest, perf_counter() - started)
    assert refused > 0.1 * EACH
    assert slowest < 5  # a second, on a machine that does nothing else
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MEMORY_MB


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
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (decode, describe):
        with pytest.raises(CorruptStream, match="out of bounds"):
            read(signed(bytes(body)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1024


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
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stream = write_file(PAGE, kind, PAGE.pixels.shape, claiming(kind, side))
    with pytest.raises(CorruptStream, match=r"not of the size|cannot be decoded"):
        decode(stream)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024


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
