"""The arithmetic that the code of "Frequency-Aware Vector Quantization for VLM Compression" really did to tokens.

Kept as it was, faults included, so that its results can be distinguished from a correct transform's:

- the transform is a real FFT, whose negative vertical frequencies wrap around and so count as high;
- only a grid of 24 x 24 is a grid. The tokens of any other are taken in runs of 24, which straddle its rows, and a
  run has frequencies 0 to 12 only;
- a channel's real parts share one range from lowest to highest over all bands, DC included; so do its imaginary parts.

What the study does not say: the last tokens, less than 24, are a shorter run here; runs do not go on in the next page.

Its stream is coding 3 of `freqq.tokens.codings`: 2 x 8 bytes radii, 3 x 1 byte bits, 16 C bytes ranges (float32; lowest
and highest real part, then imaginary part), and for each band that is not dropped its symbols, real parts then
imaginary parts, up to 8 bits one zlib section of uint8, over 8 bits one of the low bytes and one of the high bytes.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from freqq.coding.stream import StreamReader, StreamWriter
from freqq.errors import UserError
from freqq.tokens.base import Quantizer
from freqq.tokens.codings import CODINGS, Coding, Shape, checked, numbers
from freqq.transforms.quantize import check_bits

HEADER = struct.Struct("<dd3B")

SIDE = 24
"""Side of the study's grid, and length of its runs."""


@dataclass(frozen=True)
class StudyGrid:
    """A grid as the study's integers.

    Parameters
    ----------
    shape : (h, w)
    radii : (low, mid), band edges as frequencies of a 24 x 24 grid
    bits : of the low, middle and high band, each 0 or 2 to 16; 0 drops the band
    ranges : float32 [2, 2, C], of the real and of the imaginary parts the lowest and the highest
    symbols : for each band int32 [2, n, C], real and imaginary parts, 0 to 2^bits - 1; n = 0 if dropped
    """

    shape: tuple[int, int]
    radii: tuple[float, float]
    bits: tuple[int, int, int]
    ranges: Tensor
    symbols: tuple[Tensor, Tensor, Tensor]


def check_radii(low: float, mid: float) -> None:
    """Refuse band edges that are not 0 <= low <= mid."""
    if not 0 <= low <= mid < float("inf"):  # also refuses NaN
        raise UserError(f"band edges low {low:g}, mid {mid:g}: both are frequencies of a 24 x 24 grid, 0 <= low <= mid")


def band_sizes(h: int, w: int, low: float, mid: float) -> tuple[int, int, int]:
    """How many complex coefficients of a grid are in the low, middle and high band."""
    bands = _bands(h, w, low, mid)
    return int((bands == 0).sum()), int((bands == 1).sum()), int((bands == 2).sum())


def quantize_study(grid: Tensor, radii: tuple[float, float], bits: tuple[int, int, int]) -> StudyGrid:
    """A grid [h, w, C] as integers.

    Raises
    ------
    UserError
        If the transform overflows float32.
    """
    h, w, _ = grid.shape
    parts = torch.view_as_real(_transform(grid.float())).movedim(-1, 0).contiguous()  # [2, n, C]
    ranges = torch.stack([parts.amin(1), parts.amax(1)], 1)
    if not bool(torch.isfinite(ranges).all()):
        raise UserError("the token grid holds NaN, infinity or values too large for float32: nothing was coded")
    low, width = ranges[:, :1], (ranges[:, 1:] - ranges[:, :1])
    unit = torch.where(width > 0, (parts - low) / width, 0)
    bands = torch.from_numpy(_bands(h, w, *radii)).to(grid.device)
    symbols = [
        (unit[:, bands == b] * (2**count - 1)).round().to(torch.int32)
        if count
        else torch.empty(2, 0, grid.shape[2], dtype=torch.int32, device=grid.device)
        for b, count in enumerate(bits)
    ]
    return StudyGrid((h, w), radii, bits, ranges, (symbols[0], symbols[1], symbols[2]))


def restore_study(coded: StudyGrid) -> Tensor:
    """The grid float32 [h, w, C] that the integers stand for; what was dropped is 0."""
    h, w = coded.shape
    bands = torch.from_numpy(_bands(h, w, *coded.radii)).to(coded.ranges.device)
    parts = coded.ranges.new_zeros(2, len(bands), coded.ranges.shape[2])
    low, width = coded.ranges[:, :1], coded.ranges[:, 1:] - coded.ranges[:, :1]
    for b, count in enumerate(coded.bits):
        if count:
            parts[:, bands == b] = low + coded.symbols[b] * (width / (2**count - 1))
    return _inverse(torch.complex(parts[0], parts[1]), h, w)


def _runs(tokens: int) -> tuple[int, int]:
    """Whole runs and what is left over."""
    return divmod(tokens, SIDE)


def _transform(grid: Tensor) -> Tensor:
    """Complex coefficients [n, C] of a grid [h, w, C]."""
    h, w, channels = grid.shape
    if (h, w) == (SIDE, SIDE):
        return torch.fft.rfft2(grid, dim=(0, 1)).reshape(-1, channels)
    tokens = grid.reshape(h * w, channels)
    runs, left = _runs(h * w)
    coefficients = []
    if runs:
        whole = tokens[: runs * SIDE].view(runs, SIDE, channels)
        coefficients.append(torch.fft.rfft(whole, dim=1).reshape(-1, channels))
    if left:
        coefficients.append(torch.fft.rfft(tokens[runs * SIDE :], dim=0))
    return torch.cat(coefficients)


def _inverse(coefficients: Tensor, h: int, w: int) -> Tensor:
    channels = coefficients.shape[1]
    bins = SIDE // 2 + 1
    if (h, w) == (SIDE, SIDE):
        return torch.fft.irfft2(coefficients.view(SIDE, bins, channels), (SIDE, SIDE), dim=(0, 1))
    runs, left = _runs(h * w)
    tokens = []
    if runs:
        whole = coefficients[: runs * bins].view(runs, bins, channels)
        tokens.append(torch.fft.irfft(whole, SIDE, dim=1).reshape(-1, channels))
    if left:
        tokens.append(torch.fft.irfft(coefficients[runs * bins :], left, dim=0))
    return torch.cat(tokens).view(h, w, channels)


@lru_cache(maxsize=64)
def _bands(h: int, w: int, low: float, mid: float) -> NDArray[np.int64]:
    """The band, 0 to 2, of each coefficient [n]. Cached: do not write to it."""
    bins = np.arange(SIDE // 2 + 1)
    if (h, w) == (SIDE, SIDE):
        radius = np.hypot(np.arange(SIDE)[:, None], bins[None]).ravel()
    else:
        runs, left = _runs(h * w)
        radius = np.concatenate([np.tile(bins, runs), np.arange(left // 2 + 1) if left else []])
    return np.digitize(radius, [low, mid])


def _write(writer: StreamWriter, coded: StudyGrid) -> None:
    writer.header(HEADER, *coded.radii, *coded.bits)
    writer.array(coded.ranges.cpu().numpy())
    for symbols, bits in zip(coded.symbols, coded.bits, strict=True):
        values = symbols.cpu().numpy()
        if bits:
            writer.zlib_section((values & 0xFF).astype(np.uint8))
        if bits > 8:
            writer.zlib_section((values >> 8).astype(np.uint8))


def _read(reader: StreamReader, shape: Shape, channels: int, dtype: torch.dtype) -> StudyGrid:
    low, mid, *bits = reader.header(HEADER)
    checked(reader, check_radii, low, mid)
    checked(reader, check_bits, tuple(bits))
    ranges = numbers(reader, reader.array(4 * channels, "<f4")).view(2, 2, channels)
    if bool((ranges[:, 1] < ranges[:, 0]).any()):
        raise reader.corrupt("a range ends before it starts")
    symbols = []
    for size, b in zip(band_sizes(*shape, low, mid), bits, strict=True):
        count = 2 * size * channels if b else 0
        values = reader.zlib_section(count, "u1").astype(np.int32) if b else np.zeros(0, np.int32)
        if b > 8:
            values |= reader.zlib_section(count, "u1").astype(np.int32) << 8
        if values.size and values.max() >= 1 << b:
            raise reader.corrupt("a symbol is out of range")
        symbols.append(torch.from_numpy(values.reshape(2, -1, channels)))
    return StudyGrid(shape, (low, mid), (bits[0], bits[1], bits[2]), ranges, (symbols[0], symbols[1], symbols[2]))


CODINGS[3] = Coding(StudyGrid, _write, _read, restore_study)


@dataclass(frozen=True)
class Original(Quantizer):
    """What the code of "Frequency-Aware Vector Quantization for VLM Compression" really did to tokens.

    See the top of this file for what that was. Its own "baseline" is low=22, mid=24, bits=16,16,16, which on pages
    that are not 24 x 24 tokens is its "ultra_mild".

    Formula
    -------
    F = rfft2 of 24 x 24 tokens, or rfft of runs of 24; q = round((Re F - a) / (b - a) · (2^bits - 1)), a and b the
    lowest and the highest real part of the channel in all bands; imaginary parts likewise.

    Parameters
    ----------
    low, mid : float, 0 <= low <= mid
        Upper edges of the low and the middle band, as frequencies of a 24 x 24 grid.
    bits : (low, middle, high)
        2 to 16, or 0 to drop the band.

    Source
    ------
    The code of "Frequency-Aware Vector Quantization for VLM Compression".
    """

    low: float = 12
    mid: float = 20
    bits: tuple[int, int, int] = (12, 10, 8)

    LEVELS = {
        "ultra_mild": {"low": 16.0, "mid": 24.0, "bits": (16, 14, 12)},
        "mild": {"low": 12.0, "mid": 20.0, "bits": (12, 10, 8)},
        "aggressive": {"low": 4.0, "mid": 8.0, "bits": (8, 4, 2)},
        "extreme": {"low": 3.0, "mid": 6.0, "bits": (8, 3, 0)},
    }

    def __post_init__(self) -> None:
        check_radii(self.low, self.mid)
        check_bits(self.bits)

    def code(self, grid: Tensor) -> StudyGrid:
        """A grid [h, w, C] as the study's integers."""
        return quantize_study(grid.detach(), (self.low, self.mid), self.bits)
