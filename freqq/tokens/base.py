"""What a token compressor is given and gives."""

from dataclasses import MISSING, dataclass, field, fields, make_dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, get_type_hints

import torch
from torch import Tensor

from freqq.errors import UserError
from freqq.levels import LEVELS, Leveled
from freqq.names import unknown
from freqq.tokens import container
from freqq.tokens.grid import CompressedGrid, check_grid, fit_grid, whole

POSITIONS = ("scaled", "compact")
AXES = ("both", "columns")


@dataclass(frozen=True)
class TokenCompressor(Leveled):
    """Base of the methods that act on vision tokens; each is a frozen dataclass of its parameters.

    ``codes`` says whether `begin` leaves streams unwritten, so that no size is known before they are.
    """

    codes: ClassVar[bool] = False

    def compress(self, grid: Tensor) -> CompressedGrid:
        """Compress one page: a grid [h, w, C] of any float type, h and w at least 1.

        Raises
        ------
        UserError
            If the grid holds NaN or infinity.
        """
        raise NotImplementedError

    def reconstruct(self, grid: Tensor) -> CompressedGrid:
        """What `compress` gives, without the stream: for callers that read the features and store nothing."""
        return self.compress(grid)

    def begin(self, grid: Tensor) -> tuple[CompressedGrid, container.Unwritten | None]:
        """What `compress` gives with its stream still to be written; None if none is, or it is written already.

        So what reads the features need not wait for the entropy coding.
        """
        return self.compress(grid), None

    def tokens_left(self, h: int, w: int) -> int:
        """How many tokens of a page of h x w are left. It depends on nothing else: an engine has to know it before it
        sees the page.
        """
        return len(self.compress(torch.randn(h, w, 8, generator=torch.Generator().manual_seed(0))).features)

    def check_model(self, channels: int, embedded: bool) -> None:
        """Refuse a model for whose tokens the method lacks something, such as a codebook, before it is loaded.

        Parameters
        ----------
        channels : of a token of the model
        embedded : whether its vision tower is an embedded model's, for which shipped codebooks were made

        Raises
        ------
        UserError
            Few methods need anything.
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

    def tokens_left(self, h: int, w: int) -> int:
        """As many as the grid of `fit` has cells."""
        rows, columns = self.fit(h, w)
        return rows * columns

    def fit(self, h: int, w: int) -> tuple[int, int]:
        """The grid (h', w') that has as many cells as a page of h x w keeps tokens."""
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
        return CompressedGrid(grid.reshape(h * w, channels).index_select(0, kept), (h, w), kept=kept)

    def select(self, grid: Tensor, small: tuple[int, int]) -> Tensor:
        """Raster indices of h'·w' different cells of a grid [h, w, C] without gradient, int64 in any order."""
        raise NotImplementedError


@dataclass(frozen=True)
class SmallerGrid(Cutter):
    """Base of the cutters that hand over a smaller grid of new features.

    Parameters
    ----------
    keep : float in (0, 1]
        Fraction of tokens to keep. The aspect ratio stays as close as whole tokens allow.
    positions : ``scaled`` or ``compact``
        Where the language model sees the new tokens. Scaled: at the centres of the areas that they stand for, between
        the positions of whole tokens, so that the page spans what it did; rotary embeddings take fractions. Compact: as
        a page that was rendered smaller, which is also what a serving engine can take.
    axis : ``both`` or ``columns``
        Along which sides the grid gets smaller. Columns: each row of tokens by itself, so that lines of text do not mix
        where a row of tokens is one; a page then keeps round(keep·w) columns, for the budget only nearly.
    """

    positions: str = "scaled"
    axis: str = "both"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.positions not in POSITIONS:
            raise unknown("positions", self.positions, POSITIONS)
        if self.axis not in AXES:
            raise unknown("axis", self.axis, AXES)

    def fit(self, h: int, w: int) -> tuple[int, int]:
        """The smaller grid (h', w')."""
        return (h, max(1, round(self.keep * w))) if self.axis == "columns" else super().fit(h, w)

    def cut(self, grid: Tensor, small: tuple[int, int]) -> CompressedGrid:
        """The features of `shrink`, spread over the page or as a smaller page."""
        h, w, channels = grid.shape
        features = self.shrink(grid, small).to(grid.dtype).reshape(-1, channels)
        if self.positions == "compact":
            return CompressedGrid(features, small)
        return CompressedGrid(features, (h, w), small=small)

    def shrink(self, grid: Tensor, small: tuple[int, int]) -> Tensor:
        """A grid [h', w', C], given one [h, w, C] and (h', w')."""
        raise NotImplementedError


@dataclass(frozen=True)
class Quantizer(TokenCompressor):
    """Base of the methods that store the tokens in fewer bytes. How many there are stays the same."""

    codes: ClassVar[bool] = True

    def tokens_left(self, h: int, w: int) -> int:
        """All h·w."""
        return h * w

    def compress(self, grid: Tensor) -> CompressedGrid:
        """Compress one page: [h, w, C] float -> features [h·w, C] of all cells, and the stream."""
        return _written(*self.begin(grid))

    def reconstruct(self, grid: Tensor) -> CompressedGrid:
        """As `compress`, without the stream: nothing is entropy-coded."""
        check_grid(grid)
        return self.dequantized(whole(grid))

    def begin(self, grid: Tensor) -> tuple[CompressedGrid, container.Unwritten]:
        """As `compress`, the stream unwritten."""
        check_grid(grid)
        return self.quantize(whole(grid))

    def quantize(self, page: CompressedGrid) -> tuple[CompressedGrid, container.Unwritten]:
        """The same tokens as they come out of their stream, and that stream, unwritten.

        Tokens that are not a grid, because some of its cells were dropped, are coded as one column in raster order.
        """
        coded = self.code(page.arranged)
        return _restored(page, coded), container.Unwritten.of(coded, page)

    def dequantized(self, page: CompressedGrid) -> CompressedGrid:
        """As `quantize`, the tokens alone."""
        return _restored(page, self.code(page.arranged))

    def code(self, grid: Tensor) -> container.Coded:
        """A grid [h, w, C] as integers."""
        raise NotImplementedError


@dataclass(frozen=True)
class Combination(TokenCompressor):
    """Base of the combinations that `combine` makes; their parameters are those of both parts."""

    codes: ClassVar[bool] = True
    CUTTER: ClassVar[type[Cutter]]
    QUANTIZER: ClassVar[type[Quantizer]]

    def __post_init__(self) -> None:
        self.parts()  # whose own checks refuse bad values

    def compress(self, grid: Tensor) -> CompressedGrid:
        """Compress one page: cut it, then quantize the tokens that are left. The payload is theirs alone."""
        return _written(*self.begin(grid))

    def reconstruct(self, grid: Tensor) -> CompressedGrid:
        """As `compress`, without the stream."""
        cutter, quantizer = self.parts()
        return quantizer.dequantized(cutter.compress(grid))

    def begin(self, grid: Tensor) -> tuple[CompressedGrid, container.Unwritten]:
        """As `compress`, the stream unwritten."""
        cutter, quantizer = self.parts()
        return quantizer.quantize(cutter.compress(grid))

    def tokens_left(self, h: int, w: int) -> int:
        """Those that the cut leaves."""
        return self.parts()[0].tokens_left(h, w)

    def check_model(self, channels: int, embedded: bool) -> None:
        """Refuse what either part refuses."""
        for part in self.parts():
            part.check_model(channels, embedded)

    @property
    def resources(self) -> tuple[str, ...]:
        """Those of both parts."""
        return tuple(name for part in self.parts() for name in part.resources)

    def parts(self) -> tuple[Cutter, Quantizer]:
        """The two methods, each with its own parameters."""
        cutter, quantizer = (
            part(**{f.name: getattr(self, f.name) for f in fields(part)}) for part in (self.CUTTER, self.QUANTIZER)
        )
        return cutter, quantizer  # type: ignore[return-value]


@lru_cache(maxsize=64)
def combine(cutter: type[Cutter], quantizer: type[Quantizer]) -> type[Combination]:
    """The dataclass of a combination. At each level both parts are at that level."""
    parts = (cutter, quantizer)
    parameters: list[tuple[str, Any, Any]] = [
        (f.name, get_type_hints(part)[f.name], field() if f.default is MISSING else field(default=f.default))
        for part in parts
        for f in fields(part)
    ]
    return make_dataclass(
        f"{cutter.__name__}{quantizer.__name__}",
        parameters,
        bases=(Combination,),
        frozen=True,
        namespace={
            "CUTTER": cutter,
            "QUANTIZER": quantizer,
            "LEVELS": {level: {**cutter.LEVELS[level], **quantizer.LEVELS[level]} for level in LEVELS[1:]},
        },
    )


def _written(page: CompressedGrid, stream: container.Unwritten) -> CompressedGrid:
    return replace(page, payload=stream.write())


def _restored(page: CompressedGrid, coded: container.Coded) -> CompressedGrid:
    return replace(page, features=container.restore(coded, page.features.dtype).flatten(0, 1))
