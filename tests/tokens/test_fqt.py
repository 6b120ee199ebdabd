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
from freqq.image.container import MAX_PIXELS
from freqq.tokens import codings, container
from freqq.tokens.grid import CompressedGrid, whole
from freqq.tokens.quantize import Quantize
from freqq.transforms.quantize import QuantizedGrid
from tests.memory import forget_peak, peak_mb

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
        {"h": 512, "w": 512, "channels": 1024}, {"h": 7}, {"channels": 9}, {"coding": 5}, {"where": 3},
        {"number_format": 3},
    ],
)  # fmt: skip
def test_headers_that_lie_are_refused(changes):
    with pytest.raises(CorruptStream):
        container.decode(with_header(**changes))


def test_the_largest_page_that_is_read_can_be_stored():
    """In tokens of 28 x 28 px, the smallest of any family, and in the widest ones that there are."""
    most = MAX_PIXELS // 28**2
    assert most <= container.MAX_CELLS
    assert container.MAX_CELLS * 16_384 <= container.MAX_VALUES
    page = whole(torch.zeros(1, 1, 1).expand(96, most // 96, 1))
    assert container.decode(container.write_plain(page)).shape == page.shape


def test_a_larger_grid_than_its_page_has_is_refused_before_it_is_restored(monkeypatch):
    assert container.decode(STREAM, 30).shape == (6, 5)
    monkeypatch.setattr(container, "restore", None)
    with pytest.raises(CorruptStream, match="a grid of 6 x 5, but its page has 29 tokens"):
        container.decode(STREAM, 29)


def test_a_short_stream_of_a_long_column_takes_little_memory():
    """All of the basis of 16,384 cells would take gigabytes; the stream says nothing but which cells are kept."""
    h, w = container.MAX_SIDE, container.MAX_CELLS // container.MAX_SIDE
    nothing = torch.zeros(0, 1, dtype=torch.int8)
    bands = QuantizedGrid((h * w, 1), (0.5, 0.7), (0, 0, 0), torch.ones(1), torch.zeros(3, 1), (nothing,) * 3)
    page = CompressedGrid(torch.zeros(h * w, 1), (h, w), kept=torch.arange(h * w))
    stream = container.write_coded(bands, page)
    assert len(stream) < 2200
    forget_peak()
    before = peak_mb()
    found = container.decode(stream).features
    assert peak_mb() - before < 256
    torch.testing.assert_close(found, torch.full_like(found, 1 / 128))  # the DC alone: a flat page


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
    for h, w in ((container.MAX_SIDE + 1, 1), (129, 128)):
        with pytest.raises(UserError, match="too large to be stored"):
            container.write_plain(whole(torch.zeros(1, 1, 1).expand(h, w, 1)))
    with pytest.raises(UserError, match="float64"):
        Quantize().compress(GRID.double())
