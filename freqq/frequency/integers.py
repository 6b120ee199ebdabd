"""Symmetric uniform quantization of a token grid without a transform, one scale a channel: the control of the DCT."""

from dataclasses import dataclass

import torch
from torch import Tensor

from freqq.errors import UserError
from freqq.frequency.quantize import LARGEST, highest_symbol, silent, symbol_dtype
from freqq.frequency.scales import rounded_up


@dataclass(frozen=True)
class IntegerGrid:
    """A grid as integers.

    Parameters
    ----------
    shape : (h, w)
    bits : 2 to 16
    means : float32 [C]
    scales : float32 [C], the largest distance from the mean, rounded up to an eighth of an octave; 0 where a channel
        does not vary
    symbols : int8 (up to 8 bits) or int16 [h·w, C], -q to q with q = 2^(bits - 1) - 1
    """

    shape: tuple[int, int]
    bits: int
    means: Tensor
    scales: Tensor
    symbols: Tensor


def quantize_integers(grid: Tensor, bits: int) -> IntegerGrid:
    """A grid [h, w, C] as integers.

    Raises
    ------
    UserError
        If a channel's values are too large for float32.
    """
    h, w, channels = grid.shape
    values = grid.float().reshape(h * w, channels)
    means = values.mean(0)
    centred = values - means
    peaks = centred.abs().amax(0)
    scales = torch.where(silent(peaks, means), 0, rounded_up(peaks))
    if not bool((means.isfinite() & (scales < LARGEST)).all()):
        raise UserError("the token grid holds NaN, infinity or values too large for float32: nothing was coded")
    per_unit = torch.where(scales > 0, highest_symbol(bits) / scales, 0)
    return IntegerGrid((h, w), bits, means, scales, (centred * per_unit).round().to(symbol_dtype(bits)))


def restore_integers(coded: IntegerGrid) -> Tensor:
    """The grid float32 [h, w, C] that the integers stand for."""
    values = coded.symbols * (coded.scales / highest_symbol(coded.bits)) + coded.means
    return values.view(*coded.shape, -1)
