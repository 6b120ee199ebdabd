"""Compression with gradients: the same tokens as without, and gradients that reach the page."""

import pytest
import torch

from freqq.adapt.compressors import learnable
from freqq.errors import UserError
from freqq.tokens import COMPRESSORS, compressor
from freqq.tokens.base import Quantizer, Selector
from tests.tokens.conftest import CHANNELS

NAMES = [*COMPRESSORS, "token-lowpass+quantize", "token-prune+int8"]


def page(seed: int = 0) -> torch.Tensor:
    return torch.randn(7, 6, CHANNELS, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("level", ["mild", "extreme"])
@pytest.mark.parametrize("name", NAMES)
def test_the_tokens_are_those_of_compress(name: str, level: str) -> None:
    method = compressor(name).at(level)
    expected, found = method.compress(page()), learnable(method, page().requires_grad_())
    assert (found.shape, found.small) == (expected.shape, expected.small)
    assert (found.kept is None) == (expected.kept is None)
    if found.kept is not None:
        assert torch.equal(found.kept, expected.kept)
    assert torch.allclose(found.features, expected.features, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_mixed_precision_changes_nothing(name: str) -> None:
    """A model learns in bfloat16 what it will read after a transform in float32."""
    method, grid = compressor(name).at("mild"), page().bfloat16()
    expected = learnable(method, grid)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(learnable(method, grid).features, expected.features)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_the_page(name: str) -> None:
    grid = page().requires_grad_()
    learnable(compressor(name).at("mild"), grid).features.square().sum().backward()
    assert grid.grad is not None
    assert torch.isfinite(grid.grad).all()
    assert grid.grad.abs().sum() > 0


@pytest.mark.parametrize("name", [n for n, c in COMPRESSORS.items() if issubclass(c, Quantizer)])
def test_a_quantizer_passes_them_straight_through(name: str) -> None:
    grid, weights = page().requires_grad_(), torch.randn(42, CHANNELS)
    (learnable(compressor(name).at("extreme"), grid).features * weights).sum().backward()
    assert torch.allclose(grid.grad, weights.reshape(7, 6, CHANNELS))


@pytest.mark.parametrize("name", [n for n, c in COMPRESSORS.items() if issubclass(c, Selector)])
def test_a_choice_passes_them_to_what_it_keeps(name: str) -> None:
    grid = page().requires_grad_()
    kept = learnable(compressor(name).at("mild"), grid)
    kept.features.sum().backward()
    expected = torch.zeros(42, CHANNELS).index_fill(0, kept.kept, 1.0)
    assert torch.equal(grid.grad.reshape(42, CHANNELS), expected)


@pytest.mark.parametrize("name", ["token-lowpass", "token-pool"])
def test_a_smaller_grid_passes_them_by_its_adjoint(name: str) -> None:
    """<A x, y> = <x, A' y>, and the gradient of the left side is A' y."""
    method, grid = compressor(name).at("mild"), page().requires_grad_()
    weights = torch.randn_like(method.compress(grid.detach()).features)
    inner = (learnable(method, grid).features * weights).sum()
    inner.backward()
    assert torch.allclose((grid.grad * grid.detach()).sum(), inner.detach(), rtol=1e-4)


def test_a_broken_page_is_refused() -> None:
    for name in ("token", "token-lowpass"):
        with pytest.raises(UserError, match="NaN"):
            learnable(compressor(name).at("mild"), page().fill_(float("nan")))


def test_columns_alone_do_not_mix_rows() -> None:
    method = compressor("token-lowpass").at("mild", axis="columns")
    grid = page()
    whole = method.compress(grid)
    assert whole.small == (7, 3)
    for row in range(7):
        alone = method.compress(grid[row : row + 1])
        assert torch.allclose(whole.arranged[row], alone.arranged[0], atol=1e-5)
    with pytest.raises(UserError, match="columns"):
        compressor("token-lowpass").at("mild", axis="colums")
