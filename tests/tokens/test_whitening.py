"""What whitens tokens: the same as torch's own standard deviation and mean, in less time."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from freqq.tokens.whitening import CONSTANT, OUTLIER, Whitening, whitened

sides = st.integers(1, 36)
dtypes = st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.float64])


def grid_of(h, w, channels, seed, dtype=torch.float32, rounded=False):
    """Channels of many sizes, with means far from 0 or near it; each seventh does not vary."""
    chance = torch.Generator().manual_seed(seed)
    sizes, means = torch.randn(channels, generator=chance).mul(2).exp(), torch.randn(channels, generator=chance)
    far = 10 ** (torch.rand(channels, generator=chance) * 4 - 2)
    grid = torch.randn(h, w, channels, generator=chance) * sizes + means * far
    grid[:, :, ::7] = grid[:1, :1, ::7].clone()
    return (grid.round() if rounded else grid).to(dtype)


def by_definition(grid):
    """Welford's moments of a whole page at once, and each channel's own extremes."""
    values = grid.float()
    deviation, mean = torch.std_mean(values, dim=(0, 1), correction=0)
    varies = deviation > CONSTANT * values.abs().amax((0, 1))
    white = (values - mean) / deviation.masked_fill(~varies, torch.inf)
    return white.clamp(-OUTLIER, OUTLIER)


@given(sides, sides, st.integers(1, 500), st.integers(0, 1000), dtypes, st.booleans())
def test_whitened_is_its_definition_bit_for_bit(h, w, channels, seed, dtype, rounded):
    grid = grid_of(h, w, channels, seed, dtype, rounded)
    expected = by_definition(grid)
    assert torch.equal(whitened(grid), expected)
    tokens = grid.flatten(0, 1)
    assert torch.equal(Whitening.of(tokens).energy(tokens), expected.square().sum(-1).flatten())


@pytest.mark.parametrize("shape", [(30, 21), (16, 16), (13, 5)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_so_it_is_at_the_real_width(shape, dtype):
    """With a power of two of tokens many means of bfloat16 lie halfway between two numbers of float32."""
    grid = grid_of(*shape, 4096, 1, dtype)
    assert torch.equal(whitened(grid), by_definition(grid))


def test_a_channel_that_does_not_vary_is_zero():
    white = whitened(grid_of(6, 5, 21, 3))
    assert (white[:, :, ::7] == 0).all()
    assert (white.abs().amax((0, 1)) > 0).sum() == 18
