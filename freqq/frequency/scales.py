"""Scales of quantizers: numbers that are an eighth of an octave apart, so that each is a small whole number.

A step that is 9 % too large at most costs a twentieth of a bit on average, and a number of 8 bits or less takes the
place of one of 16 or 32.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

EIGHTHS = (
    0.5, 0.545253866332629, 0.5946035575013605, 0.6484197773255048, 0.7071067811865476, 0.7711054127039704,
    0.8408964152537145, 0.9170040432046712, 1.0,
)  # fmt: skip
"""2^(k / 8 - 1), written out: a power function may round in another way on another machine."""

ZERO = -(1 << 15)
"""Stands for a scale of 0."""

LOWEST, HIGHEST = -8 * 100, 8 * 129
"""Numbers of scales are from the one on and under the other: 2^-101 to the largest that float32 holds."""


def rounded_up(peaks: Tensor) -> Tensor:
    """The next scales from peaks on, which are 0 or positive float32 numbers from 2^-100 on."""
    eighths = torch.tensor(EIGHTHS, device=peaks.device)
    mantissa, exponent = torch.frexp(peaks)
    return torch.ldexp(eighths[torch.searchsorted(eighths, mantissa).clamp(max=8)], exponent) * (peaks > 0)


def to_numbers(scales: NDArray[np.float32]) -> NDArray[np.int16]:
    """Scales as eighths of octaves over 1/2, `ZERO` for 0."""
    mantissa, exponent = np.frexp(scales)
    number = 8 * exponent.astype(np.int64) + np.searchsorted(np.array(EIGHTHS, np.float32), mantissa)
    return np.where(scales > 0, number, ZERO).astype(np.int16)


def from_numbers(numbers: NDArray[np.int16]) -> NDArray[np.float32]:
    """The scales of numbers.

    Raises
    ------
    ValueError
        If float32 has no such scale.
    """
    silent = numbers == ZERO
    wide = np.where(silent, 0, numbers).astype(np.int64)
    if (wide < LOWEST).any() or (wide >= HIGHEST).any():
        raise ValueError("a scale is out of range")
    exponent, eighth = np.divmod(wide, 8)
    return np.where(silent, 0, np.ldexp(np.array(EIGHTHS, np.float32)[eighth], exponent)).astype(np.float32)
