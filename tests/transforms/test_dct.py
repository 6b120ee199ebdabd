import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn, idctn

from freqq.transforms import dct
from freqq.transforms.blocks import basis, block_dct, restore_pixels
from freqq.transforms.dct import dct2, dct_matrix, idct2

sides = st.integers(1, 40)
seeds = st.integers(0, 2**32 - 1)


def grid_of(h, w, channels, seed, dtype=torch.float64):
    return torch.randn(h, w, channels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@given(st.integers(1, 200))
def test_the_basis_is_orthonormal(n):
    np.testing.assert_allclose(basis(n) @ basis(n).T, np.eye(n), atol=1e-12)


@given(sides, sides, st.integers(1, 5), seeds)
def test_the_transform_keeps_energy_and_inverts(h, w, channels, seed):
    grid = grid_of(h, w, channels, seed)
    coefficients = dct2(grid)
    torch.testing.assert_close(coefficients.square().sum((0, 1)), grid.square().sum((0, 1)))
    torch.testing.assert_close(idct2(coefficients), grid)


@given(sides, sides, st.integers(1, 40), st.integers(1, 40), seeds)
def test_the_lowest_frequencies_are_those_of_the_whole_transform(h, w, down, across, seed):
    grid, lowest = grid_of(h, w, 3, seed), (min(h, down), min(w, across))
    torch.testing.assert_close(dct2(grid, lowest), dct2(grid)[: lowest[0], : lowest[1]])


@pytest.mark.parametrize(("h", "w"), [(1, 1), (1, 7), (8, 1), (24, 24), (30, 21)])
def test_the_transform_is_scipys(h, w):
    grid = grid_of(h, w, 3, 0)
    np.testing.assert_allclose(dct2(grid).numpy(), dctn(grid.numpy(), norm="ortho", axes=(0, 1)), atol=1e-12)


def test_the_dc_is_the_mean_and_a_flat_grid_has_nothing_else():
    coefficients = dct2(torch.full((6, 5, 1), 3.0, dtype=torch.float64))
    assert coefficients[0, 0, 0] == pytest.approx(3 * 30**0.5)
    assert coefficients.flatten()[1:].abs().max() < 1e-12


def test_channels_are_transformed_independently():
    grid = grid_of(5, 9, 6, 1)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(dct2(grid[:, :, order]), dct2(grid)[:, :, order])


def test_half_precision_is_computed_in_float32():
    grid = grid_of(12, 10, 4, 2, torch.bfloat16)
    assert dct2(grid).dtype == torch.float32
    torch.testing.assert_close(idct2(dct2(grid)), grid.float(), atol=1e-5, rtol=0)


def test_a_long_column_is_transformed_as_a_short_one(monkeypatch):
    grid = grid_of(130, 2, 3, 3)
    coefficients, lowest = dct2(grid), dct2(grid, (70, 1))
    monkeypatch.setattr(dct, "LONG", 100)
    monkeypatch.setattr(dct, "CHUNK", 4)
    torch.testing.assert_close(dct2(grid), coefficients)
    torch.testing.assert_close(dct2(grid, (70, 1)), lowest)
    torch.testing.assert_close(idct2(coefficients), grid)


def test_matrices_are_made_once():
    assert dct_matrix(24) is dct_matrix(24)


def block_idct(coefficients: np.ndarray, height: int, width: int) -> np.ndarray:
    """Inverse of `block_dct` by scipy."""
    rows, columns, block, _ = coefficients.shape
    planes = idctn(coefficients, axes=(2, 3), norm="ortho").transpose(0, 2, 1, 3)
    return planes.reshape(rows * block, columns * block)[:height, :width]


@given(st.integers(1, 50), st.integers(1, 50), st.integers(2, 20), seeds)
def test_blocks_invert_to_the_size_of_the_plane(height, width, block, seed):
    plane = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    for values, atol in ((plane, 1e-3), (plane.astype(float), 1e-9)):
        coefficients = block_dct(values, block)
        assert coefficients.shape == (-(-height // block), -(-width // block), block, block)
        np.testing.assert_allclose(block_idct(coefficients, height, width), plane, atol=atol)


@settings(max_examples=50)
@given(
    st.integers(1, 50), st.integers(1, 50), st.sampled_from([2, 3, 8, 14, 40]), st.sampled_from([8, 100, 700]), seeds
)
def test_restore_pixels_pixels_are_those_of_the_inverse_and_do_not_depend_on_the_order_of_sums(
    height, width, block, step, seed
):
    rng = np.random.default_rng(seed)
    coefficients = block_dct(rng.integers(0, 256, (height, width)).astype(float), block)
    steps = rng.integers(step, 2 * step, (block, block))
    symbols = np.rint(8 * coefficients / steps).astype(np.int16).transpose(2, 3, 0, 1)
    pixels = restore_pixels(symbols, steps, 3, height, width)
    wanted = block_idct(symbols.transpose(2, 3, 0, 1) * (steps / 8), height, width).clip(0, 255)
    assert np.abs(pixels - wanted).max() <= 0.5 + 0.15  # the basis has 13 bits
    # The same sums by Python's whole numbers, which are exact in any order.
    rows = np.rint(basis(block) * 2**13).astype(int).tolist()
    y, x = int(rng.integers(height)), int(rng.integers(width))
    total = sum(
        int(symbols[u, v, y // block, x // block]) * int(steps[u, v]) * rows[u][y % block] * rows[v][x % block]
        for u in range(block)
        for v in range(block)
    )
    assert pixels[y, x] == min(max((total + (1 << 28)) >> 29, 0), 255)


def test_symbols_beyond_those_of_any_page_are_clipped():
    symbols = np.full((128, 128, 1, 1), -32767, np.int16)
    pixels = restore_pixels(symbols, np.full((128, 128), 2**20), 3, 128, 128)
    # -16,384 steps of 2 gray levels are the most that is let through.
    np.testing.assert_array_equal(pixels, restore_pixels(symbols // 2, np.full((128, 128), 16), 3, 128, 128))


@pytest.mark.parametrize("block", [8, 14, 16])
def test_each_block_is_transformed_alone(block):
    plane = np.random.default_rng(0).random((2 * block, 3 * block))
    coefficients = block_dct(plane, block)
    expected = dctn(plane[block:, block : 2 * block], norm="ortho")
    np.testing.assert_allclose(coefficients[1, 1], expected, atol=1e-12)


def test_padding_repeats_the_edge_so_that_a_flat_page_has_no_edge():
    coefficients = block_dct(np.full((15, 17), 200, np.uint8), 14)
    without_dc = coefficients.reshape(-1, 14 * 14)[:, 1:]
    assert np.abs(without_dc).max() < 1e-3
