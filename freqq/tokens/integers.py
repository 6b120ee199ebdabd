"""int8 and int4: quantization of the tokens themselves, the control of quantizing their DCT."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from freqq.tokens.base import Quantizer
from freqq.transforms.quantize import IntegerGrid, quantize_integers


@dataclass(frozen=True)
class Int8(Quantizer):
    """Eight bits a value, symmetric about each channel's mean, one scale a channel; all levels are the same.

    Formula
    -------
    q = round((x - m) · 127 / s), m a channel's mean, s its largest distance from it, rounded up to an eighth of an
    octave.

    Source
    ------
    The control of `token`: the same quantizer without the DCT.
    """

    BITS: ClassVar[int] = 8

    def code(self, grid: Tensor) -> IntegerGrid:
        """A grid [h, w, C] as integers."""
        return quantize_integers(grid.detach(), self.BITS)


@dataclass(frozen=True)
class Int4(Int8):
    """Four bits a value, symmetric about each channel's mean, one scale a channel; all levels are the same.

    Formula
    -------
    q = round((x - m) · 7 / s), m a channel's mean, s its largest distance from it, rounded up to an eighth of an
    octave.

    Source
    ------
    The control of `token`: the same quantizer without the DCT.
    """

    BITS = 4
