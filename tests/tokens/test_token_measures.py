import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from freqq.tokens.measures import band_entropy, fidelity
from freqq.transforms.quantize import quantize_grid


def grid_of(h, w, channels, seed=0):
    return torch.randn(h, w, channels, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("grid", [grid_of(4, 5, 6), torch.zeros(4, 5, 6), torch.ones(1, 1, 3)])
def test_equal_grids_have_no_error(grid):
    found = fidelity(grid, grid.clone())
    assert (found.error, found.whitened_error, found.cosine, found.whitened_cosine) == (0, 0, 1, 1)


@given(st.floats(0.01, 2), st.integers(0, 100))
def test_a_scaled_grid_is_off_by_the_scale_and_keeps_its_direction(scale, seed):
    grid = grid_of(3, 4, 5, seed)
    found = fidelity(grid, grid * scale)
    assert found.error == pytest.approx(abs(1 - scale), rel=1e-4, abs=1e-6)
    assert found.cosine == pytest.approx(1)


def test_whitening_gives_every_channel_the_same_say():
    grid = grid_of(8, 8, 10) * torch.logspace(0, 4, 10)
    broken_quiet, broken_loud = grid.clone(), grid.clone()
    broken_quiet[..., 0] = grid[..., 0].mean()
    broken_loud[..., 9] = grid[..., 9].mean()
    quiet, loud = fidelity(grid, broken_quiet), fidelity(grid, broken_loud)
    assert quiet.error < 1e-3 < 0.5 < loud.error
    assert quiet.whitened_error == pytest.approx(loud.whitened_error, rel=1e-4)
    assert quiet.whitened_error == pytest.approx((1 / 10) ** 0.5, rel=1e-4)


def test_whitened_measures_do_not_see_the_means():
    grid = grid_of(6, 6, 4)
    restored = grid + 0.1 * grid_of(6, 6, 4, 1)
    shift = torch.tensor([0, 10, -100, 3.0])
    plain, shifted = fidelity(grid, restored), fidelity(grid + shift, restored + shift)
    assert shifted.whitened_error == pytest.approx(plain.whitened_error, rel=1e-3)
    assert shifted.error < plain.error


def test_channels_that_do_not_vary_have_no_whitened_value():
    grid = grid_of(5, 5, 3)
    grid[..., 1] = 7
    restored = grid.clone()
    restored[..., 1] = 8
    found = fidelity(grid, restored)
    assert found.error > 0
    assert found.whitened_error == 0


def test_entropy_by_band_grows_with_bits():
    coded = quantize_grid(grid_of(12, 12, 16), 0.3, 0.6, (8, 4, 0))
    bits = band_entropy(coded)
    assert list(bits) == ["low", "mid", "high"]
    assert 8 > bits["low"] > 4 > bits["mid"] > bits["high"] == 0
