"""Compressors in training: with gradients, and with a codebook that is trained along."""

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
    """``compressor.compress(grid)`` with gradients to the grid and without a stream.

    Kept tokens, and those that are linear in the grid (a low-pass, means), have exact gradients; the selection has
    none. Quantized tokens have the gradient of the identity (straight-through estimation; Bengio, Léonard, Courville,
    arXiv:1308.3432, section 4).

    Parameters
    ----------
    grid : [h, w, C], any float type

    Raises
    ------
    UserError
        If the grid contains NaN or infinity.
    """
    # Automatic mixed precision would compute transforms in bfloat16, unlike evaluation.
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
"""Prefix of codebook files in an adapter's folder."""


@dataclass(frozen=True)
class Following(Quantizer):
    """`freqq.tokens.vq.VectorQuantization` with the current codebook, which is trained on every grid.

    Parameters
    ----------
    averages : CodebookAverages
        The training calls its `step`, or its `forget` after grids that it must not be trained on.
    rate : int
    """

    averages: CodebookAverages
    rate: int

    def code(self, grid: Tensor) -> VectorGrid:
        """Quantize a grid [h, w, C] to indices of codewords."""
        coded = quantize_vectors(grid.detach(), self.averages.book, self.rate)
        self.averages.add(grid, coded)
        return coded


def follow(
    compressors: Sequence[TokenCompressor | None], grid: Tensor
) -> tuple[CodebookAverages, list[TokenCompressor | None]]:
    """The averages of the codebook of `VectorQuantization` for a grid [h, w, C], and the compressors with it."""
    book = next(c.book(grid) for c in compressors if isinstance(c, VectorQuantization))
    averages = CodebookAverages(book)
    return averages, [Following(averages, c.rate) if isinstance(c, VectorQuantization) else c for c in compressors]


def store_codebook(book: TokenCodebook, folder: Path) -> str:
    """Write a codebook beside an adapter; returns its name for `freqq.tokens.codebooks.token_codebook`."""
    folder.mkdir(parents=True, exist_ok=True)
    name = book.id.hex()
    write_whole(folder / f"{PREFIX}{name}.safetensors", lambda file: file.write_bytes(book.file))
    return name


def remove_codebooks(folder: Path, but: str) -> None:
    """Remove all codebooks of `store_codebook` except the one of this name."""
    for file in folder.glob(f"{PREFIX}*.safetensors"):
        if file.name != f"{PREFIX}{but}.safetensors":
            file.unlink()
