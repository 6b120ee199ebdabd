import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.coding.stream import FRAME, CorruptStream
from freqq.errors import UserError
from freqq.image import coefficients as stored
from freqq.image import container
from freqq.image.coefficients import Coefficients, read_coefficients, write_coefficients
from freqq.image.dct import BlockDct
from freqq.image.streams import decode
from freqq.pages.page import Page

PAGE = Page(np.random.default_rng(0).integers(0, 256, (30, 20), np.uint8))
STREAM = BlockDct(keep=0.3, block=8).encode(PAGE)


def signed(body):
    return FRAME.pack(container.MAGIC, container.VERSION, zlib.crc32(body)) + body


def with_header(form, start, index, value):
    body = STREAM[FRAME.size :]
    fields = list(form.unpack_from(body, start))
    fields[index] = value
    return signed(body[:start] + form.pack(*fields) + body[start + form.size :])


@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([(), (3,)]))
def test_plain_streams_lose_nothing(height, width, planes):
    page = Page(np.random.default_rng(height).integers(0, 256, (height, width, *planes), np.uint8))
    decoded = decode(container.write_plain(page))
    np.testing.assert_array_equal(decoded.pixels, page.pixels)


@given(
    st.sampled_from([2, 3, 8, 14, 31, 128]),
    st.sampled_from([1, 3]),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 500),
)
def test_coefficients_of_every_size_come_back(block, planes, rows, columns, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(block, block, planes, rows, columns)) * 10 ** rng.uniform(-1, 4)
    values[np.abs(values) < rng.choice([0, 1, 40, 2000])] = 0  # what thresholding leaves
    symbols = np.rint(values).clip(-32767, 32767).astype(np.int16)
    page = Page(np.zeros((rows * block, columns * block, 3)[: 2 + (planes == 3)], np.uint8))
    content = Coefficients(symbols, int(rng.integers(8, 65536)), int(rng.integers(256)))
    stream = write_coefficients(page, content)
    found = read_coefficients(stream)
    np.testing.assert_array_equal(found.symbols, symbols)
    assert (found.step, found.weight) == (content.step, content.weight)
    assert stream == write_coefficients(page, content)


def test_the_largest_block_of_white_fits():
    page = Page(np.full((128, 128), 255, np.uint8))
    np.testing.assert_array_equal(BlockDct(block=128).decode(BlockDct(block=128).encode(page)).pixels, page.pixels)


@given(st.data())
def test_damaged_and_truncated_streams_are_refused(data):
    damaged = bytearray(STREAM)
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    for bad in (bytes(damaged), STREAM[:at]):
        with pytest.raises(CorruptStream):
            BlockDct().decode(bad)


@given(st.data())
def test_damage_under_a_good_checksum_is_refused_or_harmless(data):
    body = bytearray(STREAM[FRAME.size :])
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    # Another scale or symbol is as good a page as this one; anything else must be refused.
    with suppress(CorruptStream):
        assert BlockDct().decode(signed(bytes(body))).pixels.size <= 100 * PAGE.pixels.size


PAGE_FIELDS = [(0, 2), (1, 2), (2, 0), (3, 0), (2, 65535), (3, 65535), (2, 29 + 8), (1, 3)]
# Block, step and blocks that differ; any weight is a good one.
BLOCK_FIELDS = [(0, 1), (0, 129), (0, 9), (1, 7), (3, 0), (3, 1), (3, 2**32 - 1)]


@pytest.mark.parametrize(("index", "value"), PAGE_FIELDS)
def test_page_headers_that_lie_are_refused(index, value):
    with pytest.raises(CorruptStream):
        BlockDct().decode(with_header(container.HEADER, 0, index, value))


@pytest.mark.parametrize(("index", "value"), BLOCK_FIELDS)
def test_block_headers_that_lie_are_refused(index, value):
    with pytest.raises(CorruptStream):
        BlockDct().decode(with_header(stored.HEADER, container.HEADER.size, index, value))


def test_pages_that_are_too_large_are_refused_when_written():
    wide = Page(np.broadcast_to(np.uint8(0), (1, 9000)))
    many = Page(np.broadcast_to(np.uint8(0), (8192, 8192)))
    for page in (wide, many):
        with pytest.raises(UserError, match="scale it down or split it"):
            container.write_plain(page)
