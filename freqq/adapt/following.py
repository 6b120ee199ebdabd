"""Vector quantization in training, by a codebook that follows the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from freqq.files import write_whole
from freqq.frequency.token_codebook import TokenCodebook
from freqq.frequency.vectors import VectorGrid, quantize_vectors
from freqq.tokens.base import Quantizer, TokenCompressor
from freqq.tokens.codebook_averages import CodebookAverages
from freqq.tokens.vq import VectorQuantization

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
