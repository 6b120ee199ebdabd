"""Integers coded in bands."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.coding import integers
from freqq.tokens.measures import entropy_bits

EXTREMES = st.sampled_from([-32768, -32767, -1, 0, 1, 32767])


def laplacian(count, scale, seed=0):
    values = np.random.default_rng(seed).laplace(0, scale, count)
    return np.rint(values).clip(-32768, 32767).astype(np.int16)


@given(
    st.lists(st.tuples(st.integers(1, 700), st.floats(0.1, 9000), st.integers(0, 99)), min_size=1, max_size=5),
    st.lists(EXTREMES, min_size=1, max_size=9),
)
def test_bands_of_every_size_come_back(sizes, extremes):
    bands = [laplacian(*size) for size in sizes] + [np.array(extremes, np.int16)]
    data = integers.encode(bands)
    found = list(integers.decode(data, [len(band) for band in bands]))
    assert all(np.array_equal(a, b) for a, b in zip(bands, found, strict=True))
    assert data == integers.encode(bands)


@pytest.mark.parametrize("scale", [0.2, 1, 5, 200])
def test_they_take_about_what_their_entropy_says(scale):
    band = laplacian(40_000, scale)
    assert len(integers.encode([band])) * 8 < 1.02 * entropy_bits(band) * len(band) + 8 * 500


def test_bands_are_told_apart_by_their_statistics():
    bands = [laplacian(20_000, 0.3), laplacian(20_000, 30)]
    assert len(integers.encode(bands)) < 0.97 * len(
        integers.encode([np.random.default_rng(0).permuted(np.concatenate(bands))])
    )


def test_long_bands_are_coded_in_pieces(monkeypatch):
    monkeypatch.setattr(integers, "PIECE", 100)
    bands = [laplacian(n, 3) for n in (99, 100, 101, 1000)]
    found = list(integers.decode(integers.encode(bands), [99, 100, 101, 1000]))
    assert all(np.array_equal(a, b) for a, b in zip(bands, found, strict=True))


@pytest.mark.parametrize("change", [lambda d: d + b"\0", lambda d: d[:-1], lambda d: d[:1], lambda d: b""])
def test_more_or_fewer_bytes_are_refused(change):
    band = laplacian(3000, 4)
    with pytest.raises(ValueError, match=r"more numbers|error"):
        list(integers.decode(change(integers.encode([band])), [3000]))


@pytest.mark.parametrize("counts", [[1500], [6000], [3000, 1], [1]])
def test_so_are_more_or_fewer_numbers(counts):
    data = integers.encode([laplacian(3000, 4)])
    with pytest.raises(ValueError, match=r"more numbers|fewer numbers|error"):
        list(integers.decode(data, counts))
