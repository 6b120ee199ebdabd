"""Compressors in training: with gradients, and with a codebook that follows the model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from freqq.files import write_whole
from freqq.tokens import container
from freqq.tokens.base import Combination, Quantizer, TokenCompressor
from freqq.tokens.grid import CompressedGrid, check_grid, whole
from freqq.tokens.vq import VectorGrid, VectorQuantization, quantize_vectors
from freqq.tokens.vq_codebook import TokenCodebook
from freqq.tokens.vq_training import CodebookAverages


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


PREFIX = "codebook-"
"""Of codebooks in an adapter's folder."""


@dataclass(frozen=True)
class Following(Quantizer):
    """What `freqq.tokens.vq.VectorQuantization` does, by the codebook of the moment, which learns from every grid.

    Parameters
    ----------
    averages : CodebookAverages
        Whoever trains calls its `step`, or its `forget` after grids that are not to be learned from.
    rate : int
    """

    averages: CodebookAverages
    rate: int

    def code(self, grid: Tensor) -> VectorGrid:
        """A grid [h, w, C] as names of codewords."""
        coded = quantize_vectors(grid.detach(), self.averages.book, self.rate)
        self.averages.add(grid, coded)
        return coded


def follow(
    compressors: Sequence[TokenCompressor | None], grid: Tensor
) -> tuple[CodebookAverages, list[TokenCompressor | None]]:
    """The averages of the codebook that `VectorQuantization` takes for a grid [h, w, C], and what quantizes by them."""
    book = next(c.book(grid) for c in compressors if isinstance(c, VectorQuantization))
    averages = CodebookAverages(book)
    return averages, [Following(averages, c.rate) if isinstance(c, VectorQuantization) else c for c in compressors]


def store_codebook(book: TokenCodebook, folder: Path) -> str:
    """Put a codebook beside an adapter; the name by which `freqq.tokens.codebooks.token_codebook` finds it there."""
    folder.mkdir(parents=True, exist_ok=True)
    name = book.id.hex()
    write_whole(folder / f"{PREFIX}{name}.safetensors", lambda file: file.write_bytes(book.file))
    return name


def remove_codebooks(folder: Path, but: str) -> None:
    """Remove all codebooks of `store_codebook` but the one of a name: an adapter needs only that which it names."""
    for file in folder.glob(f"{PREFIX}*.safetensors"):
        if file.name != f"{PREFIX}{but}.safetensors":
            file.unlink()
