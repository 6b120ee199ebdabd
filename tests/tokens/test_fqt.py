import struct
import zlib
from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from freqq.coding.codebook_files import MissingCodebook
from freqq.coding.stream import FRAME, CorruptStream
from freqq.errors import UserError
from freqq.tokens import codings, container
from freqq.tokens.grid import whole
from freqq.tokens.quantize import Quantize

GRID = torch.randn(6, 5, 8, generator=torch.Generator().manual_seed(0))
STREAM = Quantize.at("aggressive").compress(GRID).payload


def signed(body):
    return FRAME.pack(container.MAGIC, container.VERSION, zlib.crc32(body)) + body


def with_header(**changes):
    names = ("coding", "number_format", "where", "h", "w", "channels")
    body = STREAM[FRAME.size :]
    fields = dict(zip(names, container.HEADER.unpack_from(body), strict=True)) | changes
    return signed(container.HEADER.pack(*fields.values()) + body[container.HEADER.size :])


@pytest.mark.parametrize("dtype", container.FORMATS)
def test_plain_streams_lose_nothing(dtype):
    grid = GRID.to(dtype)
    page = container.decode(container.write_plain(whole(grid.transpose(0, 1))))
    assert page.features.dtype == dtype
    assert torch.equal(page.arranged, grid.transpose(0, 1))


def test_a_quantized_stream_holds_its_settings():
    stored = container.read(STREAM)
    method = Quantize.at("aggressive")
    coded = stored.content
    assert (coded.shape, coded.edges, coded.bits) == ((6, 5), (method.low, method.mid), method.bits)
    assert stored.page.features.dtype == torch.float32


@given(st.data())
def test_damaged_and_truncated_streams_are_refused(data):
    damaged = bytearray(STREAM)
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    for bad in (bytes(damaged), STREAM[:at]):
        with pytest.raises(CorruptStream):
            container.decode(bad)


@given(st.data())
def test_damage_under_a_good_checksum_is_refused_or_harmless(data):
    body = bytearray(STREAM[FRAME.size :])
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    # Another scale or symbol is as good a page as this one; anything else must be refused.
    with suppress(CorruptStream, MissingCodebook):
        assert container.decode(signed(bytes(body))).features.numel() <= 100 * GRID.numel()


@pytest.mark.parametrize(
    "changes",
    [
        {"h": 0}, {"w": 0}, {"channels": 0}, {"h": 65535}, {"channels": 2**32 - 1}, {"h": 2048, "w": 2048},
        {"h": 7}, {"channels": 9}, {"coding": 5}, {"where": 3}, {"number_format": 3},
    ],
)  # fmt: skip
def test_headers_that_lie_are_refused(changes):
    with pytest.raises(CorruptStream):
        container.decode(with_header(**changes))


def test_bits_edges_and_scales_are_checked():
    body = STREAM[FRAME.size :]
    at = container.HEADER.size
    after = at + codings.BANDS_HEADER.size
    low, mid, *bits = codings.BANDS_HEADER.unpack_from(body, at)
    nan = struct.pack("<f", float("nan"))
    for fields, dc in (((low, mid, 1, *bits[1:]), b""), ((2.0, mid, *bits), b""), ((low, mid, *bits), nan)):
        bad = body[:at] + codings.BANDS_HEADER.pack(*fields) + dc + body[after + len(dc) :]
        with pytest.raises(CorruptStream):
            container.decode(signed(bad))


def test_a_symbol_beyond_its_bits_is_refused():
    stored = container.read(Quantize(bits=(3, 3, 3)).compress(GRID).payload)
    stored.content.symbols[1][0, 0] = 4
    with pytest.raises(CorruptStream, match="out of range"):
        container.decode(container.write_coded(stored.content, stored.page))


def test_what_cannot_be_stored_is_refused():
    with pytest.raises(UserError, match="too large to be stored"):
        container.write_plain(whole(torch.zeros(1, 1, 1).expand(container.MAX_SIDE + 1, 1, 1)))
    with pytest.raises(UserError, match="float64"):
        Quantize().compress(GRID.double())
