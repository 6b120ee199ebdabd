import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.frequency.magnitudes import BUCKET, HEADER, LARGEST, LOWEST, MEANS, ODDS, PLACES, Decoder, Encoder, fit
from freqq.frequency.stream import FRAME, CorruptStream, StreamReader, StreamWriter

EDGES = np.array([1, 3, 200], np.uint8)


def coded(parts):
    """The stream of parts: magnitudes [rows, n] and a key for each column."""
    magnitudes = np.concatenate([part.ravel() for part, _ in parts])
    bucket = BUCKET[magnitudes]
    encoder = Encoder(int(bucket.max(initial=0)) + 1, EDGES)
    for part, keys in parts:
        encoder.put(BUCKET[part], keys)
    writer = StreamWriter(b"TEST", 1)
    encoder.write(writer, magnitudes, bucket, magnitudes % 3 == 0)
    return writer.finish()


def back(data, shapes_and_keys):
    reader = StreamReader(data, b"TEST", 1)
    decoder = Decoder(reader, EDGES)
    found = decoder.finish(np.concatenate([decoder.take(rows, k).ravel() for rows, k in shapes_and_keys]))
    reader.end()
    return found


def drawn(rng, rows, columns):
    """Magnitudes as transforms have them, small or large, with keys that tell something of them or nothing."""
    magnitudes = np.minimum(rng.geometric(1 / 10 ** rng.uniform(0, 5), (rows, columns)) - 1, LARGEST)
    magnitudes[rng.random((rows, columns)) < rng.random()] = 0
    near = magnitudes.max(0).clip(0, 255) if rng.random() < 0.5 else rng.integers(0, 256, columns)
    return magnitudes.astype(np.uint16), near.astype(np.uint8)


def test_slices_do_not_show(monkeypatch):
    magnitudes, keys = drawn(np.random.default_rng(3), 3, 700)
    whole = back(coded([(magnitudes, keys)]), [(3, keys)])
    monkeypatch.setattr("freqq.frequency.magnitudes.SLICE", 512)
    np.testing.assert_array_equal(back(coded([(magnitudes, keys)]), [(3, keys)]), whole)


def test_buckets_hold_every_magnitude_once():
    assert LOWEST[0] == 0
    assert LOWEST[-1] + PLACES[-1] == LARGEST + 1
    np.testing.assert_array_equal(np.diff(LOWEST.astype(int)), PLACES[:-1])
    np.testing.assert_array_equal(BUCKET, np.searchsorted(LOWEST, np.arange(LARGEST + 1), side="right") - 1)


@given(st.integers(0, 10**6), st.lists(st.tuples(st.integers(1, 5), st.integers(1, 300)), min_size=1, max_size=5))
def test_what_was_coded_comes_back(seed, shapes):
    rng = np.random.default_rng(seed)
    parts = [drawn(rng, *shape) for shape in shapes]
    data = coded(parts)
    magnitudes = np.concatenate([part.ravel() for part, _ in parts]).astype(int)
    wanted = np.where(magnitudes % 3 == 0, -magnitudes, magnitudes)
    np.testing.assert_array_equal(back(data, [(len(part), keys) for part, keys in parts]), wanted)
    assert data == coded(parts)


@pytest.mark.parametrize("zeros", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("mean", [0.1, 1, 30, 3000])
def test_a_geometric_source_costs_little_more_than_its_entropy(zeros, mean):
    rng = np.random.default_rng(0)
    magnitudes = np.minimum(rng.geometric(1 / (1 + mean), 60_000), LARGEST).astype(np.uint16)
    magnitudes[rng.random(60_000) < zeros] = 0
    data = coded([(magnitudes[None], np.zeros(60_000, np.uint8))])
    p = 1 / (1 + mean)
    over_0 = -np.log2(p) - (1 - p) / p * np.log2(1 - p)  # bits of a geometric distribution
    bits = -zeros * np.log2(zeros) + (1 - zeros) * (over_0 - np.log2(1 - zeros)) + (1 - zeros)  # and a sign
    assert 8 * len(data) < 1.04 * 60_000 * bits + 800


def test_classes_are_told_apart():
    rng = np.random.default_rng(0)
    small, large = rng.geometric(0.9, 5000) - 1, rng.geometric(0.05, 5000) - 1
    magnitudes = np.stack([small, large], 1).astype(np.uint16)
    apart = coded([(magnitudes, np.array([0, 9], np.uint8))])
    together = coded([(magnitudes, np.zeros(2, np.uint8))])
    assert len(apart) < 0.95 * len(together)


def test_the_table_is_the_best_of_all():
    counts = np.array([[70, 20, 5, 3, 2], [0, 1, 5, 9, 1], [9, 0, 0, 0, 0]])

    def cost(row, odds, mean):
        ratio = MEANS[mean] / (1 + MEANS[mean])
        over_0 = ODDS[odds] / (1 + ODDS[odds])
        rest = np.array([1 - ratio, ratio * (1 - ratio), ratio**2 * (1 - ratio), ratio**3])
        return -(row * np.log2(np.concatenate([[1 - over_0], over_0 * (rest + 2.0**-20)]))).sum()

    for row, (odds, mean) in zip(counts, fit(counts), strict=True):
        best = min(cost(row, o, m) for o in range(len(ODDS)) for m in range(len(MEANS)))
        assert cost(row, odds, mean) <= best + 1e-3


def test_a_message_that_is_none_is_refused():
    magnitudes, keys = drawn(np.random.default_rng(0), 3, 100)
    body = coded([(magnitudes, keys)])[FRAME.size :]
    buckets, tables, words = HEADER.unpack_from(body)
    # Words that were changed decode to other magnitudes: a stream's checksum tells.
    headers = [(0, tables, words), (31, tables, words), (buckets, tables - 1, words), (buckets, tables + 1, words),
               (buckets, tables, words - 1), (buckets, tables, words + 1), (buckets, tables, 2**32 - 1)]  # fmt: skip
    for header in headers:
        bad = HEADER.pack(*header) + body[HEADER.size :]
        with pytest.raises(CorruptStream):
            back(FRAME.pack(b"TEST", 1, zlib.crc32(bad)) + bad, [(3, keys)])
    for at in range(0, len(body), 7):
        with pytest.raises(CorruptStream):
            back(FRAME.pack(b"TEST", 1, zlib.crc32(body[:at])) + body[:at], [(3, keys)])
