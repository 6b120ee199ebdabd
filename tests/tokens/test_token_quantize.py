from math import sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from freqq.errors import UserError
from freqq.levels import LEVELS
from freqq.tokens import COMPRESSORS, compressor_at, container
from freqq.tokens.measures import fidelity
from freqq.tokens.quantize import Quantize

TABLE = {
    "ultra_mild": (16, 24, (16, 14, 12)),
    "mild": (12, 20, (12, 10, 8)),
    "aggressive": (4, 8, (8, 4, 2)),
    "extreme": (3, 6, (8, 3, 0)),
}
sides = st.integers(1, 32)


def grid_of(h, w, channels, seed=0, dtype=torch.float32):
    return torch.randn(h, w, channels, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("level", TABLE)
def test_levels_are_the_studys_table_as_fractions(level):
    low, mid, bits = TABLE[level]
    method = Quantize.at(level)
    assert method.bits == bits
    assert method.low * 23 * sqrt(2) == pytest.approx(low)
    assert method.mid * 23 * sqrt(2) == pytest.approx(mid)


@pytest.mark.parametrize("cls", COMPRESSORS.values())
def test_every_compressor_has_every_level_but_the_baseline(cls):
    assert tuple(cls.LEVELS) == LEVELS[1:]
    with pytest.raises(UserError, match="'baseline' does not compress"):
        cls.at("baseline")


@given(sides, sides, st.integers(1, 300), st.sampled_from(LEVELS[1:]), st.integers(0, 1000),
       st.sampled_from([torch.float32, torch.bfloat16, torch.float16]))  # fmt: skip
def test_the_stream_alone_gives_the_same_features_bit_for_bit(h, w, channels, level, seed, dtype):
    grid = grid_of(h, w, channels, seed, dtype)
    compressed = Quantize.at(level).compress(grid)
    assert compressed.features.shape == (h * w, channels)
    assert compressed.features.dtype == dtype
    assert (compressed.shape, compressed.kept) == ((h, w), None)
    decoded = container.decode(compressed.payload)
    assert decoded.shape == (h, w)
    assert torch.equal(decoded.features, compressed.features)


def test_the_same_grid_gives_the_same_stream_whatever_its_strides():
    method = Quantize.at("aggressive")
    grid = grid_of(9, 7, 24)
    again = grid.transpose(0, 1).contiguous().transpose(0, 1)
    assert method.compress(grid).payload == method.compress(again).payload == method.encode(grid)


@pytest.mark.parametrize("name", ["token", "token-int8", "token-int4"])
def test_the_largest_numbers_of_float16_stay_finite(name):
    grid = grid_of(6, 8, 32).sign().half() * torch.finfo(torch.float16).max
    page = compressor_at(name, "mild").compress(grid)
    assert page.features.isfinite().all()
    assert torch.equal(container.decode(page.payload).features, page.features)


def test_each_level_loses_more_and_stores_less():
    grid = grid_of(30, 21, 64)
    compressed = [Quantize.at(level).compress(grid) for level in LEVELS[1:]]
    errors = [fidelity(grid, c.arranged).whitened_error for c in compressed]
    sizes = [len(c.payload) for c in compressed]
    assert errors == sorted(errors)
    assert sizes == sorted(sizes, reverse=True)
    assert errors[0] < 1e-3


def test_a_page_of_one_token_and_a_flat_page_come_back():
    for grid in (grid_of(1, 1, 40), grid_of(1, 1, 40).expand(6, 5, 40)):
        features = Quantize.at("extreme").compress(grid).features
        torch.testing.assert_close(features, grid.flatten(0, 1), atol=1e-5, rtol=1e-5)


def test_parameters_can_be_set_over_a_level():
    method = Quantize.at("mild", bits=(8, 0, 0), low=0.25)
    assert method == Quantize(low=0.25, mid=Quantize.at("mild").mid, bits=(8, 0, 0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": "agressive"}, "did you mean 'aggressive'"),
        ({"level": "mild", "bitz": (8, 4, 2)}, "did you mean 'bits'"),
        ({"level": "mild", "bits": (1, 4, 2)}, "bits 1 for the low band"),
        ({"level": "mild", "bits": (8, 4)}, "give three"),
        ({"level": "mild", "low": 0.9}, "0 <= low <= mid <= 1"),
    ],
)
def test_bad_levels_and_parameters_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        Quantize.at(**arguments)
