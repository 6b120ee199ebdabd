"""What a token compressor is given and gives."""

from dataclasses import dataclass

from torch import Tensor

from freqq.levels import Leveled


@dataclass(frozen=True)
class CompressedGrid:
    """A page of vision tokens after compression.

    Parameters
    ----------
    features : [k, C], what the language model reads, in the dtype of the grid it was made from
    shape : (h, w) of the page's full grid
    kept : int64 [k], ascending raster indices of the cells that the features stand for; None: all h·w
    payload : the real stream, decodable without the original; None: nothing was coded, the size in bfloat16 counts
    """

    features: Tensor
    shape: tuple[int, int]
    kept: Tensor | None = None
    payload: bytes | None = None


class TokenCompressor(Leveled):
    """Base of the methods that act on vision tokens; each is a frozen dataclass of its parameters."""

    def compress(self, grid: Tensor) -> CompressedGrid:
        """Compress one page: a grid [h, w, C] of any float type, h and w at least 1."""
        raise NotImplementedError
