"""The figure of a page's vision tokens."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from freqq.pages.page import Page
from freqq.report.figures import rendered
from freqq.report.token_pictures import channel_peaks, radial_energy, tokens, whitened_errors
from freqq.tokens import compressor
from freqq.tokens.grid import resample, spread, whole


def grid_of(h, w, channels=16):
    return torch.randn(h, w, channels, generator=torch.Generator().manual_seed(0))


def draw(grid, compressed):
    h, w, _ = grid.shape
    return rendered(tokens(Page(np.full((28 * h, 28 * w), 255, np.uint8)), grid, compressed, "a page"))


@pytest.mark.parametrize("name", ["token-prune", "token-lowpass", "token"])
def test_the_figure_is_a_png_and_the_same_each_time(name):
    grid = grid_of(6, 5)
    compressed = compressor(name).at("aggressive").compress(grid)
    first = draw(grid, compressed)
    assert Image.open(io.BytesIO(first)).format == "PNG"
    assert draw(grid, compressed) == first
    assert draw(grid, whole(grid)) != first


@pytest.mark.parametrize("grid", [grid_of(1, 1), grid_of(1, 9), torch.ones(3, 3, 4), torch.zeros(2, 2, 3)])
def test_any_grid_can_be_drawn(grid):
    assert Image.open(io.BytesIO(draw(grid, whole(grid)))).format == "PNG"


def test_white_noise_has_the_energy_1_at_all_frequencies_whatever_the_channels_sizes():
    grid = grid_of(32, 32, 256) * torch.logspace(0, 4, 256) + 100
    centres, energy = radial_energy(grid, grid)
    assert list(centres) == sorted(centres)
    assert np.abs(energy - 1).max() < 0.2
    halved = radial_energy(grid / 2, grid)[1]
    np.testing.assert_allclose(halved, energy / 4, rtol=1e-6)


def test_a_lowpass_leaves_the_low_frequencies_and_nothing_else():
    grid = grid_of(16, 16)
    smooth = resample(resample(grid, (4, 4)), (16, 16))
    centres, before = radial_energy(grid, grid)
    after = radial_energy(smooth, grid)[1]
    low, high = centres < 0.15, centres > 0.3
    np.testing.assert_allclose(after[low], before[low], rtol=1e-3)
    assert after[high].max() < 1e-6


def test_outliers_stand_above_the_median():
    grid = grid_of(5, 5, 31)
    grid[2, 2, 7] = 1000
    peaks = channel_peaks(grid)
    assert peaks[0] > 100 > 3 > peaks[1]
    assert peaks[15] == pytest.approx(1)


def test_errors_are_where_tokens_are_gone():
    grid = grid_of(6, 6)
    compressed = compressor("token-random")(keep=0.5).compress(grid)
    errors = whitened_errors(grid, spread(compressed, (6, 6))).ravel()
    kept = compressed.kept.numpy()
    assert errors[kept].max() == 0
    assert np.delete(errors, kept).min() > 0
