"""Symmetric uniform quantization of a token grid: of its DCT by band and channel, or of its values by channel.

Vision tokens have a few channels that are a hundred times larger than the others, so a scale shared by channels would
silence most of them; and a channel's mean is often larger than all its variation, so the DC is stored separately and
exactly. Scales are powers of 2^(1/8), stored as small integers of up to 8 bits instead of 16 or 32: steps are at most
9 % too large, which costs 0.05 bits on average.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from freqq.errors import UserError
from freqq.transforms.bands import BANDS, band_order
from freqq.transforms.dct import at_once, dct2, idct2

MAX_BITS = 16
NOISE = 2.0**-21
"""A band below this fraction of its channel's DC is rounding noise of the transform and is coded as zeros."""

TINIEST, LARGEST = 1e-30, 3e38
"""Scales outside this range count as zero, or would overflow."""


@dataclass(frozen=True)
class QuantizedGrid:
    """The DCT of a grid as integers.

    Parameters
    ----------
    shape : (h, w)
    edges : (low, mid), fractions of the grid's highest radial frequency, see `freqq.transforms.bands`
    bits : for the low, middle and high band, each 0 or 2 to 16; 0 drops the band
    dc : float32 [C], the DC coefficients
    scales : float32 [3, C], the largest magnitude of each band, rounded up to an eighth of an octave (see
        `freqq.transforms.quantize`); 0 where it is silent or dropped
    symbols : for each band int8 (up to 8 bits) or int16 [n, C], -q to q with q = 2^(bits - 1) - 1; n = 0 if dropped
    """

    shape: tuple[int, int]
    edges: tuple[float, float]
    bits: tuple[int, int, int]
    dc: Tensor
    scales: Tensor
    symbols: tuple[Tensor, Tensor, Tensor]


def highest_symbol(bits: int) -> int:
    """The largest magnitude of a symbol; 0 if nothing is coded."""
    return 2 ** (bits - 1) - 1 if bits else 0


def symbol_dtype(bits: int) -> torch.dtype:
    """The smallest integer type that holds the symbols."""
    return torch.int8 if bits <= 8 else torch.int16


def check_bits(bits: tuple[int, ...]) -> None:
    """Refuse anything but three bit counts of 0 or 2 to 16.

    A symmetric quantizer has zero and as many levels below as above, so one bit is not possible.
    """
    if len(bits) != len(BANDS):
        raise UserError(
            f"bits {','.join(map(str, bits))}: give three, for the low, middle and high band, such as 8,4,2"
        )
    for count, band in zip(bits, BANDS, strict=True):
        if count != 0 and not 2 <= count <= MAX_BITS:
            raise UserError(f"bits {count} for the {band} band: use 2 to {MAX_BITS}, or 0 to drop the band")


def check_edges(low: float, mid: float) -> None:
    """Refuse band edges that are not 0 <= low <= mid <= 1."""
    if not 0 <= low <= mid <= 1:  # also refuses NaN
        raise UserError(
            f"band edges low {low:g}, mid {mid:g}: both are fractions of the highest frequency, 0 <= low <= mid <= 1"
        )


def quantize_grid(grid: Tensor, low: float, mid: float, bits: tuple[int, int, int]) -> QuantizedGrid:
    """Quantize the 2-D DCT of every channel of a grid [h, w, C].

    Raises
    ------
    UserError
        If the grid holds NaN or infinity, or values whose DCT overflows float32.
    """
    h, w, channels = grid.shape
    order, counts = band_order(h, w, low, mid)
    rows = torch.tensor(order, device=grid.device)
    kept = [n if b else 0 for n, b in zip(counts, bits, strict=True)]
    symbols = [
        torch.empty(n, channels, dtype=symbol_dtype(b), device=grid.device) for n, b in zip(kept, bits, strict=True)
    ]
    dc = torch.empty(channels, device=grid.device)
    scales = torch.zeros(3, channels, device=grid.device)
    for part in _chunks(channels, at_once(grid)):
        sorted_rows = dct2(grid[:, :, part].float()).view(h * w, -1).index_select(0, rows)
        dc[part] = sorted_rows[0]
        bands = sorted_rows[1:].split(counts)
        peaks = [band.abs().amax(0) if n else torch.zeros_like(dc[part]) for band, n in zip(bands, kept, strict=True)]
        scales[:, part] = scale = _scales(torch.stack(peaks), sorted_rows[0])
        highest = scale.new_tensor([highest_symbol(b) for b in bits])[:, None]
        per_unit = torch.where(scale > 0, highest / scale, 0)
        for band, n, out, factor in zip(bands, kept, symbols, per_unit, strict=True):
            if n:
                out[:, part] = band.mul_(factor).round_()
    # NaN and infinity in the grid reach the DC of their channel.
    if not bool(torch.isfinite(dc).all() & (dc.abs() < LARGEST).all() & (scales < LARGEST).all()):
        raise UserError("the token grid holds NaN, infinity or values too large for float32: nothing was coded")
    return QuantizedGrid((h, w), (low, mid), bits, dc, scales, (symbols[0], symbols[1], symbols[2]))


def restore_grid(coded: QuantizedGrid) -> Tensor:
    """Dequantize to a grid float32 [h, w, C]. Deterministic on the same machine."""
    h, w = coded.shape
    order, counts = band_order(h, w, *coded.edges)
    channels = len(coded.dc)
    grid = torch.empty(h, w, channels, device=coded.dc.device)
    raster = torch.tensor(np.argsort(order), device=coded.dc.device)
    highest = coded.scales.new_tensor([max(highest_symbol(b), 1) for b in coded.bits])[:, None]
    steps = coded.scales / highest
    for part in _chunks(channels, at_once(grid)):
        sorted_rows = grid.new_empty(h * w, len(coded.dc[part]))
        sorted_rows[0] = coded.dc[part]
        for band, symbols, step in zip(sorted_rows[1:].split(counts), coded.symbols, steps[:, part], strict=True):
            if len(symbols):
                torch.mul(symbols[:, part], step, out=band)
            else:
                band.zero_()
        grid[:, :, part] = idct2(sorted_rows.index_select(0, raster).view(h, w, -1))
    return grid


def _chunks(channels: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, channels)) for start in range(0, channels, size))


def _scales(peaks: Tensor, dc: Tensor) -> Tensor:
    """Scales for peaks [3, C]; 0 for noise."""
    return torch.where(silent(peaks, dc), 0, round_up(peaks))


def silent(peaks: Tensor, dc: Tensor) -> Tensor:
    """Mask of the peaks that are no more than rounding noise relative to the channel's mean."""
    return peaks <= torch.clamp(dc.abs() * NOISE, min=TINIEST)


EIGHTHS = (
    0.5, 0.545253866332629, 0.5946035575013605, 0.6484197773255048, 0.7071067811865476, 0.7711054127039704,
    0.8408964152537145, 0.9170040432046712, 1.0,
)  # fmt: skip
"""2^(k / 8 - 1) as literals, because power functions may round differently on other machines."""

ZERO = -(1 << 15)
"""The number of a scale of 0."""

LOWEST, HIGHEST = -8 * 100, 8 * 129
"""Range of the numbers of scales, the upper end exclusive: from 2^-101 to the largest in float32."""


def round_up(peaks: Tensor) -> Tensor:
    """The next larger scales of peaks, which are 0 or float32 of at least 2^-100."""
    eighths = torch.tensor(EIGHTHS, device=peaks.device)
    mantissa, exponent = torch.frexp(peaks)
    return torch.ldexp(eighths[torch.searchsorted(eighths, mantissa).clamp(max=8)], exponent) * (peaks > 0)


def to_numbers(scales: NDArray[np.float32]) -> NDArray[np.int16]:
    """Scales as numbers: eighths of octaves above 1/2, `ZERO` for 0."""
    mantissa, exponent = np.frexp(scales)
    number = 8 * exponent.astype(np.int64) + np.searchsorted(np.array(EIGHTHS, np.float32), mantissa)
    return np.where(scales > 0, number, ZERO).astype(np.int16)


def from_numbers(numbers: NDArray[np.int16]) -> NDArray[np.float32]:
    """The inverse of `to_numbers`.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    silent = numbers == ZERO
    wide = np.where(silent, 0, numbers).astype(np.int64)
    if (wide < LOWEST).any() or (wide >= HIGHEST).any():
        raise ValueError("a scale is out of range")
    exponent, eighth = np.divmod(wide, 8)
    return np.where(silent, 0, np.ldexp(np.array(EIGHTHS, np.float32)[eighth], exponent)).astype(np.float32)


@dataclass(frozen=True)
class IntegerGrid:
    """The values of a grid as integers.

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
    """Quantize the values of a grid [h, w, C] by channel.

    Raises
    ------
    UserError
        If a channel's values are too large for float32.
    """
    h, w, channels = grid.shape
    values = grid.reshape(h * w, channels)
    # A page at once takes 30 MB, which the allocator may return to the system and take anew at every page: that costs
    # more than the arithmetic. torch sums a single column in another order, so the last part takes the rest.
    size = at_once(grid)
    ends = [*range(size, channels - size + 1, size), channels]
    symbols = torch.empty(h * w, channels, dtype=symbol_dtype(bits), device=grid.device)
    means, scales = torch.empty(2, channels, device=grid.device)
    for part in map(slice, [0, *ends], ends):
        some = values[:, part].float()
        means[part] = mean = some.mean(0)
        centred = some - mean
        scales[part] = scale = _scales(centred.abs().amax(0), mean)
        per_unit = torch.where(scale > 0, highest_symbol(bits) / scale, 0)
        symbols[:, part] = centred.mul_(per_unit).round_()
    if not bool((means.isfinite() & (scales < LARGEST)).all()):
        raise UserError("the token grid holds NaN, infinity or values too large for float32: nothing was coded")
    return IntegerGrid((h, w), bits, means, scales, symbols)


def restore_integers(coded: IntegerGrid) -> Tensor:
    """Dequantize to a grid float32 [h, w, C]."""
    values = coded.symbols.float().mul_(coded.scales / highest_symbol(coded.bits)).add_(coded.means)
    return values.view(*coded.shape, -1)
