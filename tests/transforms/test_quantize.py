import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from freqq.errors import UserError
from freqq.transforms import quantize
from freqq.transforms.bands import band_order
from freqq.transforms.dct import CHUNK, dct2
from freqq.transforms.quantize import (
    check_bits,
    check_edges,
    highest_symbol,
    quantize_grid,
    quantize_integers,
    restore_grid,
)

bit_counts = st.sampled_from([0, *range(2, 17)])
all_bits = st.tuples(bit_counts, bit_counts, bit_counts)
edges = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)


def grid_of(h, w, channels, seed=0):
    return torch.randn(h, w, channels, generator=torch.Generator().manual_seed(seed))


def round_trip(grid, bits=(8, 6, 4), low=0.3, mid=0.6):
    return restore_grid(quantize_grid(grid, low, mid, bits))


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 6), edges, all_bits, st.integers(0, 1000))
def test_every_coefficient_is_within_half_a_step(h, w, channels, edges, bits, seed):
    grid = grid_of(h, w, channels, seed)
    coded = quantize_grid(grid, *edges, bits)
    before, after = dct2(grid).flatten(0, 1), dct2(restore_grid(coded)).flatten(0, 1)
    order, counts = band_order(h, w, *edges)
    tolerance = 1e-4 * (1 + before.abs().max())
    assert (before[0] - after[0]).abs().max() <= tolerance, "the DC is exact"
    start = 1
    for count, scale, b in zip(counts, coded.scales, bits, strict=True):
        rows = torch.tensor(order[start : start + count])
        start += count
        if b == 0:
            assert not count or after[rows].abs().max() <= tolerance, "a dropped band is zero"
        else:
            step = scale / highest_symbol(b)
            assert ((before[rows] - after[rows]).abs() <= step / 2 + tolerance).all()


@given(st.integers(1, 12), st.integers(1, 12), all_bits, st.integers(0, 1000))
def test_symbols_stay_within_their_bits(h, w, bits, seed):
    coded = quantize_grid(grid_of(h, w, 3, seed), 0.3, 0.6, bits)
    for symbols, b in zip(coded.symbols, bits, strict=True):
        assert not symbols.numel() or symbols.abs().max() <= highest_symbol(b)


def test_more_bits_come_closer():
    grid = grid_of(30, 21, 32)
    errors = [float((round_trip(grid, (b, b, b)) - grid).norm()) for b in range(2, 17)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3 * grid.norm()


def test_channels_are_quantized_independently():
    grid = grid_of(7, 9, CHUNK + 70) * torch.logspace(-3, 3, CHUNK + 70)
    order = torch.randperm(CHUNK + 70, generator=torch.Generator().manual_seed(0))
    shuffled = round_trip(grid[:, :, order])
    torch.testing.assert_close(shuffled, round_trip(grid)[:, :, order], atol=0, rtol=1e-4)


@pytest.mark.parametrize("channels", [1, CHUNK - 1, CHUNK + 1, 2 * CHUNK + 1, 3 * CHUNK])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_integers_in_parts_are_those_of_the_whole_grid_bit_for_bit(channels, dtype, monkeypatch):
    grid = ((grid_of(30, 21, channels) + 3) * torch.logspace(-3, 3, channels)).to(dtype)
    in_parts = quantize_integers(grid, 8)
    monkeypatch.setattr(quantize, "at_once", lambda grid: channels)
    at_once = quantize_integers(grid, 8)
    for name in ("means", "scales", "symbols"):
        assert torch.equal(getattr(in_parts, name), getattr(at_once, name)), name


def test_an_outlier_channel_does_not_silence_the_others():
    grid = grid_of(12, 12, 8)
    loud = grid.clone()
    loud[:, :, 3] *= 1e4
    torch.testing.assert_close(round_trip(loud)[:, :, 0], round_trip(grid)[:, :, 0])


def test_a_large_mean_does_not_silence_the_rest_of_its_channel():
    grid = grid_of(12, 12, 4)
    error = (round_trip(grid, (8, 8, 8)) - grid).norm()
    error_with_mean = (round_trip(grid + 1000, (8, 8, 8)) - grid - 1000).norm()
    assert error_with_mean < 1.1 * error


@pytest.mark.parametrize("value", [0.0, 1.0, -3e5, 1e-35, 1e30])
@pytest.mark.parametrize("shape", [(1, 1, 1), (24, 24, 3), (30, 21, 2)])
def test_a_flat_grid_stays_flat_and_costs_nothing(value, shape):
    coded = quantize_grid(torch.full(shape, value), 0.3, 0.6, (16, 16, 16))
    torch.testing.assert_close(restore_grid(coded), torch.full(shape, value), atol=0, rtol=1e-5)
    assert all((symbols == 0).all() for symbols in coded.symbols)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_number_formats_are_quantized_in_float32(dtype):
    grid = grid_of(5, 6, 3).to(dtype)
    torch.testing.assert_close(round_trip(grid), round_trip(grid.float()), atol=1e-5, rtol=0)


def test_a_view_is_quantized_like_its_copy():
    grid = grid_of(9, 7, 20)[:, :, ::2].transpose(0, 1)
    assert torch.equal(round_trip(grid), round_trip(grid.contiguous()))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_refused(value):
    grid = grid_of(4, 4, 3)
    grid[1:, 2, 1] = value
    with pytest.raises(UserError, match="NaN, infinity or values too large"):
        quantize_grid(grid, 0.3, 0.6, (8, 4, 2))


def test_values_whose_transform_overflows_are_refused():
    with pytest.raises(UserError, match="too large for float32"):
        quantize_grid(torch.full((4, 4, 3), 3e38), 0.3, 0.6, (8, 4, 2))


@pytest.mark.parametrize("bits", [(1, 4, 2), (8, 17, 2), (8, 4, -1), (8, 4), (8, 4, 2, 2)])
def test_bits_out_of_range_are_refused(bits):
    with pytest.raises(UserError, match="bits"):
        check_bits(bits)


@pytest.mark.parametrize(("low", "mid"), [(0.5, 0.4), (-0.1, 0.5), (0.5, 1.1), (float("nan"), 0.5)])
def test_edges_out_of_order_are_refused(low, mid):
    with pytest.raises(UserError, match="0 <= low <= mid <= 1"):
        check_edges(low, mid)
