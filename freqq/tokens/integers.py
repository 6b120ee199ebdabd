"""int8 and int4: quantization of the tokens themselves, the control of quantizing their DCT."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from freqq.frequency.integers import IntegerGrid, quantize_integers
from freqq.tokens.base import Quantizer


@dataclass(frozen=True)
class Int8(Quantizer):
    """Eight bits a value, symmetric about each channel's mean, one scale a channel; all levels are the same."""

    BITS: ClassVar[int] = 8
    LEVELS = {"ultra_mild": {}, "mild": {}, "aggressive": {}, "extreme": {}}

    def code(self, grid: Tensor) -> IntegerGrid:
        """A grid [h, w, C] as integers."""
        return quantize_integers(grid.detach(), self.BITS)


@dataclass(frozen=True)
class Int4(Int8):
    """Four bits a value, otherwise as `Int8`."""

    BITS = 4
