import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freqq.frequency.magnitudes import BUCKET, LARGEST, LOWEST, MEANS, ODDS, PLACES, Decoder, Encoder, fit

EDGES = np.array([1, 3, 200], np.uint8)


def coded(parts):
    """Tables and words of parts, each magnitudes and their keys."""
    magnitudes = np.concatenate([part for part, _ in parts])
    bucket = BUCKET[magnitudes]
    encoder = Encoder(int(bucket.max(initial=0)) + 1, EDGES)
    for part, keys in parts:
        encoder.put(BUCKET[part], keys)
    return int(bucket.max(initial=0)) + 1, *encoder.finish(magnitudes, bucket)


def back(message, keys):
    decoder = Decoder(message[0], EDGES, *message[1:])
    return decoder.magnitudes(np.concatenate([decoder.take(k) for k in keys]))


def drawn(rng, count):
    """Magnitudes as transforms have them, small or large, with keys that tell something of them or nothing."""
    magnitudes = np.minimum(rng.geometric(1 / 10 ** rng.uniform(0, 5), count) - 1, LARGEST).astype(np.uint16)
    magnitudes[rng.random(count) < rng.random()] = 0
    near = np.minimum(magnitudes, 255) if rng.random() < 0.5 else rng.integers(0, 256, count)
    return magnitudes, near.astype(np.uint8)


def test_buckets_hold_every_magnitude_once():
    assert LOWEST[0] == 0
    assert LOWEST[-1] + PLACES[-1] == LARGEST + 1
    np.testing.assert_array_equal(np.diff(LOWEST.astype(int)), PLACES[:-1])
    np.testing.assert_array_equal(BUCKET, np.searchsorted(LOWEST, np.arange(LARGEST + 1), side="right") - 1)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 400), min_size=1, max_size=5))
def test_what_was_coded_comes_back(seed, counts):
    rng = np.random.default_rng(seed)
    parts = [drawn(rng, count) for count in counts]
    message = coded(parts)
    np.testing.assert_array_equal(back(message, [keys for _, keys in parts]), np.concatenate([m for m, _ in parts]))
    again = coded(parts)
    assert message[1].tobytes() + message[2].tobytes() == again[1].tobytes() + again[2].tobytes()


@pytest.mark.parametrize("zeros", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("mean", [0.1, 1, 30, 3000])
def test_a_geometric_source_costs_little_more_than_its_entropy(zeros, mean):
    rng = np.random.default_rng(0)
    magnitudes = np.minimum(rng.geometric(1 / (1 + mean), 60_000), LARGEST).astype(np.uint16)
    magnitudes[rng.random(60_000) < zeros] = 0
    words = coded([(magnitudes, np.zeros(60_000, np.uint8))])[2]
    p = 1 / (1 + mean)
    over_0 = -np.log2(p) - (1 - p) / p * np.log2(1 - p)  # bits of a geometric distribution
    bits = -zeros * np.log2(zeros) + (1 - zeros) * (over_0 - np.log2(1 - zeros))
    assert 32 * len(words) < 1.04 * 60_000 * bits + 500


def test_classes_are_told_apart():
    rng = np.random.default_rng(0)
    small, large = rng.geometric(0.9, 5000) - 1, rng.geometric(0.05, 5000) - 1
    magnitudes = np.stack([small, large], 1).ravel().astype(np.uint16)
    apart = coded([(magnitudes, np.tile(np.array([0, 9], np.uint8), 5000))])[2]
    together = coded([(magnitudes, np.zeros(10_000, np.uint8))])[2]
    assert len(apart) < 0.93 * len(together)


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
    rng = np.random.default_rng(0)
    part = drawn(rng, 300)
    buckets, tables, words = coded([part])
    # Words that were changed decode to other magnitudes: a stream's checksum tells.
    bad = [
        (0, tables, words), (31, tables, words), (buckets, tables[:-1], words),
        (buckets, np.concatenate([tables, tables[:1]]), words), (buckets, tables + np.uint8(100), words),
        (buckets, tables, np.append(words, np.uint32(0))), (buckets, tables, np.append(np.uint32(7), words)),
    ]  # fmt: skip
    for message in bad:
        with pytest.raises(ValueError, match=r"."):
            back(message, [part[1]])
