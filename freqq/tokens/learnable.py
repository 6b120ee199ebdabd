"""Compression with gradients, for training a model that shall read compressed tokens."""

from dataclasses import replace

import torch
from torch import Tensor

from freqq.tokens import container
from freqq.tokens.base import Quantizer, TokenCompressor
from freqq.tokens.combine import Combination
from freqq.tokens.grid import CompressedGrid, check_grid, whole


def learnable(compressor: TokenCompressor, grid: Tensor) -> CompressedGrid:
    """What ``compressor.compress(grid)`` gives, with gradients to the grid and without a stream.

    Tokens that stay as they are, and those that are linear in the grid (a low-pass, means), have their own gradients;
    which tokens stay is taken as given. Quantized ones have that of the identity (straight-through estimation; Bengio,
    Léonard, Courville, arXiv:1308.3432, section 4).

    Parameters
    ----------
    grid : [h, w, C], any float type

    Raises
    ------
    UserError
        If the grid holds NaN or infinity.
    """
    # A transform in bfloat16, as automatic mixed precision has it, is not the one that the model is to get used to.
    with torch.autocast(grid.device.type, enabled=False):
        if isinstance(compressor, Combination):
            cutter, quantizer = compressor.parts()
            return _straight_through(quantizer, cutter.compress(grid))
        if isinstance(compressor, Quantizer):
            check_grid(grid)
            return _straight_through(compressor, whole(grid))
        return compressor.compress(grid)


def _straight_through(quantizer: Quantizer, page: CompressedGrid) -> CompressedGrid:
    with torch.no_grad():
        restored = container.restore(quantizer.code(page.arranged.detach()))
        error = restored.to(page.features.dtype).flatten(0, 1) - page.features
    return replace(page, features=page.features + error)
