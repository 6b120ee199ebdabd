"""How the features of a page's stream are coded.

Coding 0, plain values: one zlib section of h·w·C values in the stream's number format.

Coding 1, quantized bands:

    2 x 8 bytes   band edges low and mid, float64
    3 x 1 byte    bits of the low, middle and high band
    4 C bytes     DC coefficients, float32
    section       for each band that is not dropped: scales [C], 2 bytes each, see `freqq.frequency.scales`
    ...           the symbols [n, C] of all bands as `freqq.tokens.symbols` codes them, each by ascending i² + j²

Coding 2, integers without a transform: 1 byte bits, 4 C bytes means (float32), a section of scales [C], and the
symbols [h·w, C] as one band in raster order.

Coding 3, the study's own arithmetic: 2 x 8 bytes radii, 3 x 1 byte bits, 16 C bytes ranges (float32; lowest and highest
real part, then imaginary part), and for each band that is not dropped its symbols, real parts then imaginary parts, up
to 8 bits one zlib section of uint8, over 8 bits one of the low bytes and one of the high bytes.

Coding 4, names of codewords: see `freqq.tokens.vector_coding`.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from freqq.errors import UserError
from freqq.frequency.bands import band_order
from freqq.frequency.integers import IntegerGrid, restore_integers
from freqq.frequency.quantize import (
    MAX_BITS,
    QuantizedGrid,
    check_bits,
    check_edges,
    highest_symbol,
    restore_grid,
    symbol_dtype,
)
from freqq.frequency.scales import from_numbers, to_numbers
from freqq.frequency.stream import StreamReader, StreamWriter
from freqq.frequency.study import StudyGrid, band_sizes, check_radii, restore_study
from freqq.frequency.vectors import VectorGrid, restore_vectors
from freqq.tokens.symbols import read_symbols, write_symbols
from freqq.tokens.vector_coding import read_vectors, write_vectors

Coded: TypeAlias = Tensor | QuantizedGrid | IntegerGrid | StudyGrid | VectorGrid
Shape: TypeAlias = tuple[int, int]

PLAIN, BANDS, INTEGERS, STUDY, VECTORS = range(5)
BANDS_HEADER = struct.Struct("<dd3B")
BITS_HEADER = struct.Struct("<B")


def _write_plain(writer: StreamWriter, grid: Tensor) -> None:
    writer.zlib_section(grid.detach().cpu().contiguous().view(torch.uint8).numpy())


def _read_plain(reader: StreamReader, shape: Shape, channels: int, dtype: torch.dtype) -> Tensor:
    values = reader.zlib_section(shape[0] * shape[1] * channels * dtype.itemsize, "u1")
    grid = torch.from_numpy(values.copy()).view(dtype).view(*shape, channels)
    if not bool(torch.isfinite(grid).all()):
        raise reader.corrupt("a value is not a number")
    return grid


def _write_bands(writer: StreamWriter, coded: QuantizedGrid) -> None:
    writer.header(BANDS_HEADER, *coded.edges, *coded.bits)
    writer.array(coded.dc.cpu().numpy())
    for b in range(3):
        if coded.bits[b]:
            _write_scales(writer, coded.scales[b])
    rows = [
        symbols.cpu().numpy().astype(np.int16)[order] if bits else np.zeros((0, len(coded.dc)), np.int16)
        for symbols, bits, order in zip(coded.symbols, coded.bits, _radial(*coded.shape, *coded.edges), strict=True)
    ]
    write_symbols(writer, rows, _steps(coded.scales, coded.bits))


def _read_bands(reader: StreamReader, shape: Shape, channels: int, dtype: torch.dtype) -> QuantizedGrid:
    low, mid, *bits = reader.header(BANDS_HEADER)
    _checked(reader, check_edges, low, mid)
    _checked(reader, check_bits, tuple(bits))
    dc = _numbers(reader, reader.array(channels, "<f4"))
    scales = torch.zeros(3, channels)
    for b in range(3):
        if bits[b]:
            scales[b] = _read_scales(reader, channels)
    orders = [order if b else order[:0] for order, b in zip(_radial(*shape, low, mid), bits, strict=True)]
    found = read_symbols(reader, [len(order) for order in orders], _steps(scales, bits))
    symbols = [_sorted_back(reader, *args) for args in zip(found, orders, bits, strict=True)]
    return QuantizedGrid(
        shape, (low, mid), (bits[0], bits[1], bits[2]), dc, scales, (symbols[0], symbols[1], symbols[2])
    )


def _write_integers(writer: StreamWriter, coded: IntegerGrid) -> None:
    writer.header(BITS_HEADER, coded.bits)
    writer.array(coded.means.cpu().numpy())
    _write_scales(writer, coded.scales)
    write_symbols(writer, [coded.symbols.cpu().numpy().astype(np.int16)], _steps(coded.scales[None], [coded.bits]))


def _read_integers(reader: StreamReader, shape: Shape, channels: int, dtype: torch.dtype) -> IntegerGrid:
    [bits] = reader.header(BITS_HEADER)
    if not 2 <= bits <= MAX_BITS:
        raise reader.corrupt(f"integers of {bits} bits")
    means = _numbers(reader, reader.array(channels, "<f4"))
    scales = _read_scales(reader, channels)
    cells = shape[0] * shape[1]
    [symbols] = read_symbols(reader, [cells], _steps(scales[None], [bits]))
    return IntegerGrid(shape, bits, means, scales, _sorted_back(reader, symbols, np.arange(cells), bits))


def _write_study(writer: StreamWriter, coded: StudyGrid) -> None:
    writer.header(BANDS_HEADER, *coded.radii, *coded.bits)
    writer.array(coded.ranges.cpu().numpy())
    for symbols, bits in zip(coded.symbols, coded.bits, strict=True):
        values = symbols.cpu().numpy()
        if bits:
            writer.zlib_section((values & 0xFF).astype(np.uint8))
        if bits > 8:
            writer.zlib_section((values >> 8).astype(np.uint8))


def _read_study(reader: StreamReader, shape: Shape, channels: int, dtype: torch.dtype) -> StudyGrid:
    low, mid, *bits = reader.header(BANDS_HEADER)
    _checked(reader, check_radii, low, mid)
    _checked(reader, check_bits, tuple(bits))
    ranges = _numbers(reader, reader.array(4 * channels, "<f4")).view(2, 2, channels)
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


def _checked(reader: StreamReader, check: Callable[..., None], *values: Any) -> None:
    try:
        check(*values)
    except UserError as error:
        raise reader.corrupt(str(error)) from error


def _numbers(reader: StreamReader, values: NDArray[Any]) -> Tensor:
    if not np.isfinite(values).all():
        raise reader.corrupt("a scale or mean is not a number")
    return torch.from_numpy(values.astype(np.float32))


def _write_scales(writer: StreamWriter, scales: Tensor) -> None:
    numbers = to_numbers(scales.cpu().numpy())
    writer.zlib_section(np.stack([numbers & 0xFF, numbers >> 8 & 0xFF]).astype(np.uint8), 9)


def _read_scales(reader: StreamReader, channels: int) -> Tensor:
    low, high = reader.zlib_section(2 * channels, "u1").reshape(2, channels).astype(np.uint16)
    try:
        return torch.from_numpy(from_numbers((high << 8 | low).view(np.int16)))
    except ValueError as error:
        raise reader.corrupt(str(error)) from error


def _radial(h: int, w: int, low: float, mid: float) -> list[NDArray[np.int64]]:
    """For each band, the order that sorts its coefficients, which are in raster order, by frequency."""
    order, counts = band_order(h, w, low, mid)
    ends = np.cumsum(counts)
    return [
        np.argsort(sum(along**2 for along in np.divmod(band, w)), kind="stable")
        for band in np.split(order[1:], ends[:-1])
    ]


def _steps(scales: Tensor, bits: Sequence[int]) -> list[NDArray[np.float32]]:
    """What a symbol of 1 stands for in each channel of each band."""
    return [s.cpu().numpy() / np.float32(max(highest_symbol(b), 1)) for s, b in zip(scales, bits, strict=True)]


def _sorted_back(reader: StreamReader, rows: NDArray[np.int16], order: NDArray[np.int64], bits: int) -> Tensor:
    if rows.size and np.abs(rows).max() > highest_symbol(bits):
        raise reader.corrupt("a symbol is out of range")
    symbols = np.empty_like(rows)
    symbols[order] = rows
    return torch.from_numpy(symbols).to(symbol_dtype(bits))


@dataclass(frozen=True)
class Coding:
    """One way to code a grid: what it is coded as, and how that is written, read and turned back into a grid."""

    kind: type
    write: Callable[[StreamWriter, Any], None]
    read: Callable[[StreamReader, Shape, int, torch.dtype], Coded]
    restore: Callable[[Any], Tensor]


CODINGS = {
    PLAIN: Coding(Tensor, _write_plain, _read_plain, lambda grid: grid),
    BANDS: Coding(QuantizedGrid, _write_bands, _read_bands, restore_grid),
    INTEGERS: Coding(IntegerGrid, _write_integers, _read_integers, restore_integers),
    STUDY: Coding(StudyGrid, _write_study, _read_study, restore_study),
    VECTORS: Coding(VectorGrid, write_vectors, read_vectors, restore_vectors),
}


def code_of(coded: Coded) -> int:
    """The number of a grid's coding."""
    return next(code for code, coding in CODINGS.items() if isinstance(coded, coding.kind))


def restore(coded: Coded) -> Tensor:
    """The grid [h, w, C] that was coded: plain values as they are, anything else in float32."""
    return CODINGS[code_of(coded)].restore(coded)
