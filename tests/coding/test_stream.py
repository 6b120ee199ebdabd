import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.coding.stream import FRAME, CorruptStream, StreamReader, StreamWriter

MAGIC, VERSION = b"TST ", 3
HEADER = struct.Struct("<HI")
VALUES = np.arange(-50, 50, dtype=np.int16)


def stream():
    writer = StreamWriter(MAGIC, VERSION)
    writer.header(HEADER, 7, len(VALUES))
    writer.array(VALUES)
    writer.zlib_section(VALUES)
    writer.lzma_section(VALUES)
    return writer.finish()


def read(data):
    reader = StreamReader(data, MAGIC, VERSION)
    seven, count = reader.header(HEADER)
    parts = [reader.array(count, "<i2"), reader.zlib_section(count, "<i2"), reader.lzma_section(count, "<i2")]
    reader.end()
    return seven, parts


def signed(body):
    return FRAME.pack(MAGIC, VERSION, zlib.crc32(body)) + body


def test_what_was_written_is_read():
    seven, parts = read(stream())
    assert seven == 7
    for part in parts:
        np.testing.assert_array_equal(part, VALUES)


@given(st.data())
def test_any_changed_byte_is_refused(data):
    good = bytearray(stream())
    at = data.draw(st.integers(0, len(good) - 1))
    good[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptStream):
        read(bytes(good))


@given(st.data())
def test_any_shortened_stream_is_refused(data):
    good = stream()
    with pytest.raises(CorruptStream):
        read(good[: data.draw(st.integers(0, len(good) - 1))])


def test_messages_are_one_line_and_say_what_is_wrong():
    other_version = bytearray(stream())
    other_version[4] = 9
    cases = {
        b"": "does not start with 'TST'",
        b"PNG" + stream(): "does not start with 'TST'",
        bytes(other_version): "version 9; this freqq reads version 3",
        stream()[:-1]: "checksum does not match",
        stream() + b"x": "checksum does not match",
    }
    for data, message in cases.items():
        with pytest.raises(CorruptStream, match=message) as caught:
            read(data)
        assert "\n" not in str(caught.value)


def test_trailing_bytes_are_refused_even_with_a_good_checksum():
    with pytest.raises(CorruptStream, match="1 bytes follow its end"):
        read(signed(stream()[FRAME.size :] + b"x"))


@pytest.mark.parametrize("change", [-1, 1, 2**30])
def test_a_header_that_lies_about_lengths_is_refused_without_allocating(change):
    body = stream()[FRAME.size :]
    seven, count = HEADER.unpack_from(body)
    lying = HEADER.pack(seven, count + change) + body[HEADER.size :]
    with pytest.raises(CorruptStream):
        read(signed(lying))


@pytest.mark.parametrize("section", ["zlib_section", "lzma_section"])
def test_a_bomb_is_not_decompressed_beyond_what_is_expected(section):
    writer = StreamWriter(MAGIC, VERSION)
    getattr(writer, section)(np.zeros(1 << 24, np.uint8))
    reader = StreamReader(writer.finish(), MAGIC, VERSION)
    with pytest.raises(CorruptStream, match="differs in length"):
        getattr(reader, section)(1000, "u1")
