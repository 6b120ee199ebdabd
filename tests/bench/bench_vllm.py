"""What compressing a page costs beside one layer of the language model that reads it: GLM-4.1V-9B's, in bfloat16.

The model has 40 such layers, and a vision tower before them, so a method's share of an engine's time is less than a
fortieth of the ratio of the two.
"""

import pytest
import torch

from freqq.tokens import COMPRESSORS, compressor

H, W, CHANNELS, CHANNELS_TO_SEE = 30, 21, 4096, 256  # the fewer, to see that it works
INNER, KEYS = 13696 / CHANNELS, 512 / CHANNELS  # widths of the feed-forward part, and of keys and values together

METHODS = [name for name in COMPRESSORS if name != "token-vq"]  # which has no codebook for so many channels


@pytest.fixture(scope="module")
def channels(request) -> int:
    return CHANNELS if request.config.getoption("benchmark_enable") else CHANNELS_TO_SEE


@pytest.mark.parametrize("name", METHODS)
def test_a_page_as_in_the_engine(benchmark, channels, name):
    grid = torch.randn(H, W, channels, generator=torch.Generator().manual_seed(0)).bfloat16()
    method = compressor(name).at("mild")
    assert len(benchmark(lambda: method.reconstruct(grid)).features) == method.tokens_left(H, W)


@pytest.mark.parametrize("tokens", [H * W, H * W // 2])
def test_the_products_of_a_layer(benchmark, channels, tokens):
    """Attention itself, norms and the tower are left out, which makes a method's share look larger."""
    inner, keys = round(INNER * channels), round(KEYS * channels)
    shapes = ((channels, channels + keys), (channels, channels), (channels, 2 * inner), (inner, channels))
    layers = [torch.nn.Linear(*shape, bias=False, dtype=torch.bfloat16) for shape in shapes]
    inputs = [torch.randn(tokens, layer.in_features).bfloat16() for layer in layers]
    with torch.inference_mode():
        made = benchmark(lambda: [layer(x) for layer, x in zip(layers, inputs, strict=True)])
    assert made[-1].shape == (tokens, channels)
