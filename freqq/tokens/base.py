"""What a token compressor is given and gives."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from freqq.errors import UserError
from freqq.levels import Leveled
from freqq.tokens import container
from freqq.tokens.grid import CompressedGrid, check_grid, fit_grid, whole


@dataclass(frozen=True)
class TokenCompressor(Leveled):
    """Base of the methods that act on vision tokens; each is a frozen dataclass of its parameters."""

    def compress(self, grid: Tensor) -> CompressedGrid:
        """Compress one page: a grid [h, w, C] of any float type, h and w at least 1.

        Raises
        ------
        UserError
            If the grid holds NaN or infinity.
        """
        raise NotImplementedError

    def reconstruct(self, grid: Tensor) -> CompressedGrid:
        """What `compress` gives, without the stream: for whoever reads the features and stores nothing."""
        return self.compress(grid)

    def check_channels(self, channels: int) -> None:
        """Refuse tokens of so many channels before any is there.

        Raises
        ------
        UserError
            If the method can compress none of them, for example because it has no codebook for them.
        """

    def encode(self, grid: Tensor) -> bytes:
        """The stream of a page, which `freqq.tokens.container.decode` turns into what `compress` gives."""
        compressed = self.compress(grid)
        return container.write_plain(compressed) if compressed.payload is None else compressed.payload


@dataclass(frozen=True)
class Cutter(TokenCompressor):
    """Base of the methods that hand over fewer tokens, so that the sequence and the cache really shrink.

    Nothing is coded: the tokens that stay cost what they cost. Every cutter leaves as many tokens of a page as the grid
    of `fit_grid` has, so that all of them can be compared at exactly the same budget.

    Parameters
    ----------
    keep : float in (0, 1]
        Fraction of the tokens to keep. At 1 nothing changes.
    """

    keep: float = 0.5

    LEVELS = {
        "ultra_mild": {"keep": 0.75},
        "mild": {"keep": 0.5},
        "aggressive": {"keep": 0.25},
        "extreme": {"keep": 0.125},
    }

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:  # also refuses NaN
            raise UserError(f"keep {self.keep:g}: use a fraction of the tokens above 0, at most 1")

    def compress(self, grid: Tensor) -> CompressedGrid:
        """Compress one page: [h, w, C] float -> [k, C], k cells of `fit_grid` in number."""
        check_grid(grid)
        h, w, _ = grid.shape
        small = self.fit(h, w)
        return whole(grid) if small == (h, w) else self.cut(grid, small)

    def fit(self, h: int, w: int) -> tuple[int, int]:
        """The grid (h', w') that has as many cells as tokens of a page of h x w shall stay."""
        return fit_grid(h, w, self.keep)

    def cut(self, grid: Tensor, small: tuple[int, int]) -> CompressedGrid:
        """Leave h'·w' tokens of a grid [h, w, C], given (h', w'), of which at least one is less than h or w."""
        raise NotImplementedError


@dataclass(frozen=True)
class Selector(Cutter):
    """Base of the cutters that choose among a page's own tokens; those keep their features and their places."""

    def cut(self, grid: Tensor, small: tuple[int, int]) -> CompressedGrid:
        """Leave h'·w' of the cells."""
        h, w, channels = grid.shape
        kept = torch.sort(self.select(grid.detach(), small)).values
        return CompressedGrid(grid.reshape(h * w, channels)[kept], (h, w), kept=kept)

    def select(self, grid: Tensor, small: tuple[int, int]) -> Tensor:
        """Raster indices of h'·w' different cells of a grid [h, w, C] without gradient, int64 in any order."""
        raise NotImplementedError


@dataclass(frozen=True)
class Quantizer(TokenCompressor):
    """Base of the methods that store the tokens in fewer bytes. How many there are stays the same."""

    def compress(self, grid: Tensor) -> CompressedGrid:
        """Compress one page: [h, w, C] float -> features [h·w, C] of all cells, and the stream."""
        check_grid(grid)
        return self.quantize(whole(grid))

    def reconstruct(self, grid: Tensor) -> CompressedGrid:
        """As `compress`, without the stream: nothing is entropy-coded."""
        check_grid(grid)
        return self.dequantized(whole(grid))

    def quantize(self, page: CompressedGrid) -> CompressedGrid:
        """The same tokens as they come out of their stream, with the stream.

        Tokens that are not a grid, because some of its cells were dropped, are coded as one column in raster order.
        """
        coded = self.code(page.arranged)
        return replace(_restored(page, coded), payload=container.write_coded(coded, page))

    def dequantized(self, page: CompressedGrid) -> CompressedGrid:
        """As `quantize`, without the stream."""
        return _restored(page, self.code(page.arranged))

    def code(self, grid: Tensor) -> container.Coded:
        """A grid [h, w, C] as integers."""
        raise NotImplementedError


def _restored(page: CompressedGrid, coded: container.Coded) -> CompressedGrid:
    return replace(page, features=container.restore(coded).to(page.features.dtype).flatten(0, 1))
