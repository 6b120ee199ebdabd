"""Combinations: a method that cuts tokens, then one that stores what is left in fewer bytes."""

from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from functools import lru_cache
from typing import Any, ClassVar, get_type_hints

from torch import Tensor

from freqq.levels import LEVELS
from freqq.tokens.base import Cutter, Quantizer, TokenCompressor
from freqq.tokens.grid import CompressedGrid


@dataclass(frozen=True)
class Combination(TokenCompressor):
    """Base of the combinations that `combine` makes; their parameters are those of both parts."""

    CUTTER: ClassVar[type[Cutter]]
    QUANTIZER: ClassVar[type[Quantizer]]

    def __post_init__(self) -> None:
        self.parts()  # whose own checks refuse bad values

    def compress(self, grid: Tensor) -> CompressedGrid:
        """Compress one page: cut it, then quantize the tokens that are left. The payload is theirs alone."""
        cutter, quantizer = self.parts()
        return quantizer.quantize(cutter.compress(grid))

    def reconstruct(self, grid: Tensor) -> CompressedGrid:
        """As `compress`, without the stream."""
        cutter, quantizer = self.parts()
        return quantizer.dequantized(cutter.compress(grid))

    def check_channels(self, channels: int) -> None:
        """As both parts do."""
        for part in self.parts():
            part.check_channels(channels)

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
