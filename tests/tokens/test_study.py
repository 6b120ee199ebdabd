"""The study's arithmetic, faults included."""

import pytest
import torch

from freqq.errors import UserError
from freqq.tokens.original import SIDE, band_sizes, quantize_study, restore_study

FINE = (16, 16, 16)
TABLE = {"baseline": ((22, 24), FINE), "ultra_mild": ((16, 24), (16, 14, 12))}


def grid_of(h, w, channels=6, seed=0):
    return torch.randn(h, w, channels, generator=torch.Generator().manual_seed(seed))


def round_trip(grid, radii=(22, 24), bits=FINE):
    return restore_study(quantize_study(grid, radii, bits))


@pytest.mark.parametrize("size", [(24, 24), (30, 21), (1, 1), (5, 5), (4, 6), (1, 25), (12, 2)])
def test_sixteen_bits_are_nearly_exact(size):
    grid = grid_of(*size)
    assert (round_trip(grid) - grid).norm() < 1e-4 * grid.norm()


def test_its_levels_are_the_same_where_runs_have_13_frequencies():
    """Any page but one of 24 x 24 tokens: all of a run's frequencies are below the lowest edge."""
    restored = [round_trip(grid_of(30, 21), *level) for level in TABLE.values()]
    assert torch.equal(*restored)
    assert band_sizes(30, 21, 16, 24)[1:] == (0, 0)
    square = [round_trip(grid_of(24, 24), *level) for level in TABLE.values()]
    assert not torch.equal(*square)


def test_runs_straddle_rows():
    """Two pages that differ in where their rows end only: what is done to their tokens is the same."""
    tokens = grid_of(1, 24 * 7)
    as_rows = [round_trip(tokens.view(h, w, -1), (4, 8), (8, 4, 2)).flatten(0, 1) for h, w in ((24, 7), (14, 12))]
    assert torch.equal(*as_rows)


def test_negative_vertical_frequencies_count_as_high():
    """A wave once down the page is its slowest, and half of it is lost with the high band."""
    wave = torch.cos(2 * torch.pi * torch.arange(SIDE) / SIDE)[:, None, None].expand(SIDE, SIDE, 1)
    across = wave.transpose(0, 1)
    assert (round_trip(across, (3, 6), (16, 16, 0)) - across).norm() < 1e-3 * across.norm()
    assert (round_trip(wave, (3, 6), (16, 16, 0)) - wave).norm() > 0.4 * wave.norm()


def test_the_mean_decides_how_fine_everything_is():
    grid = grid_of(24, 24)
    errors = [(round_trip(grid + mean, bits=(8, 8, 8)) - grid - mean).norm() for mean in (0, 100)]
    assert errors[1] > 5 * errors[0]


def test_a_value_that_overflows_is_refused():
    with pytest.raises(UserError, match="too large"):
        quantize_study(torch.full((4, 6, 1), 3e38), (4, 8), (8, 8, 8))
