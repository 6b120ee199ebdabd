"""How the features of a page's stream are coded.

Coding 0, plain values: one zlib section of h·w·C values in the stream's number format.

Coding 1, quantized bands:

    2 x 8 bytes   band edges low and mid, float64
    3 x 1 byte    bits of the low, middle and high band
    4 C bytes     DC coefficients, float32
    section       for each band that is not dropped: scales [C], 2 bytes each, see `freqq.transforms.quantize`
    ...           the symbols [n, C] of the bands that are not dropped, their coefficients in raster order

Coding 2, integers without a transform: 1 byte bits, 4 C bytes means (float32), a section of scales [C], and the
symbols [h·w, C] as one band in raster order.

Coding 3, the study's own arithmetic: see `freqq.tokens.original`. Coding 4, names of codewords: see `freqq.tokens.vq`.

Quantized numbers come last, by `freqq.coding.integers`, each band with statistics of its own. Classes by what a channel
was worth at lower frequencies took .3 % to .5 % fewer bytes on 28 pages of the embedded model, and .6 % fewer to 1.3 %
fewer on made-up ones of 4,096 channels, at a half to a fifth of the speed.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from freqq.coding import integers
from freqq.coding.stream import StreamReader, StreamWriter
from freqq.errors import UserError
from freqq.transforms.bands import band_order
from freqq.transforms.quantize import (
    MAX_BITS,
    IntegerGrid,
    QuantizedGrid,
    check_bits,
    check_edges,
    from_numbers,
    highest_symbol,
    restore_grid,
    restore_integers,
    symbol_dtype,
    to_numbers,
)

Coded: TypeAlias = Any
"""What a method codes a grid as: a plain tensor, or the dataclass of its coding."""

Shape: TypeAlias = tuple[int, int]

PLAIN, BANDS, INTEGERS = range(3)
BANDS_HEADER = struct.Struct("<dd3B")
BITS_HEADER = struct.Struct("<B")

Symbols: TypeAlias = NDArray[np.int16]


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
    bands = [symbols.cpu().numpy().astype(np.int16) for symbols in coded.symbols]
    write_symbols(writer, bands)


def _read_bands(reader: StreamReader, shape: Shape, channels: int, dtype: torch.dtype) -> QuantizedGrid:
    low, mid, *bits = reader.header(BANDS_HEADER)
    checked(reader, check_edges, low, mid)
    checked(reader, check_bits, tuple(bits))
    dc = numbers(reader, reader.array(channels, "<f4"))
    scales = torch.zeros(3, channels)
    for b in range(3):
        if bits[b]:
            scales[b] = _read_scales(reader, channels)
    _, counts = band_order(*shape, low, mid)
    rows = [count if b else 0 for count, b in zip(counts, bits, strict=True)]
    found = read_symbols(reader, rows, channels)
    symbols = [_in_range(reader, values, b) for values, b in zip(found, bits, strict=True)]
    return QuantizedGrid(
        shape, (low, mid), (bits[0], bits[1], bits[2]), dc, scales, (symbols[0], symbols[1], symbols[2])
    )


def _write_integers(writer: StreamWriter, coded: IntegerGrid) -> None:
    writer.header(BITS_HEADER, coded.bits)
    writer.array(coded.means.cpu().numpy())
    _write_scales(writer, coded.scales)
    write_symbols(writer, [coded.symbols.cpu().numpy().astype(np.int16)])


def _read_integers(reader: StreamReader, shape: Shape, channels: int, dtype: torch.dtype) -> IntegerGrid:
    [bits] = reader.header(BITS_HEADER)
    if not 2 <= bits <= MAX_BITS:
        raise reader.corrupt(f"integers of {bits} bits")
    means = numbers(reader, reader.array(channels, "<f4"))
    scales = _read_scales(reader, channels)
    cells = shape[0] * shape[1]
    [symbols] = read_symbols(reader, [cells], channels)
    return IntegerGrid(shape, bits, means, scales, _in_range(reader, symbols, bits))


def checked(reader: StreamReader, check: Callable[..., None], *values: Any) -> None:
    """Refuse a stream whose values a check of parameters refuses."""
    try:
        check(*values)
    except UserError as error:
        raise reader.corrupt(str(error)) from error


def numbers(reader: StreamReader, values: NDArray[Any]) -> Tensor:
    """Values as float32; what is not a number is refused."""
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


def _in_range(reader: StreamReader, symbols: Symbols, bits: int) -> Tensor:
    highest = highest_symbol(bits)
    if symbols.size and not -highest <= symbols.min() <= symbols.max() <= highest:
        raise reader.corrupt("a symbol is out of range")
    return torch.from_numpy(symbols).to(symbol_dtype(bits))


def write_symbols(writer: StreamWriter, bands: Sequence[Symbols]) -> None:
    """Write the symbols int16 [n, C] of bands as the rest of a stream."""
    writer.array(np.frombuffer(integers.encode(band.ravel() for band in bands if band.size), np.uint8))


def read_symbols(reader: StreamReader, rows: Sequence[int], channels: int) -> list[Symbols]:
    """The symbols int16 [n, C] of bands of so many rows each.

    Raises
    ------
    CorruptStream
        If they cannot be decoded.
    """
    try:
        found = list(integers.decode(reader.rest(), [count * channels for count in rows if count]))
    except ValueError as error:
        raise reader.corrupt(f"its symbols do not decode: {error}") from error
    bands = iter(found)
    return [next(bands).reshape(count, channels) if count else np.zeros((0, channels), np.int16) for count in rows]


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
}
"""By the number that a stream has; methods with a coding of their own add it here."""


def code_of(coded: Coded) -> int:
    """The number of a grid's coding."""
    return next(code for code, coding in CODINGS.items() if isinstance(coded, coding.kind))


def restore(coded: Coded, dtype: torch.dtype | None = None) -> Tensor:
    """The grid [h, w, C] that was coded, in a number format; by default plain values in theirs, others in float32."""
    grid = CODINGS[code_of(coded)].restore(coded)
    if dtype == torch.float16 and grid.dtype != dtype:
        most = torch.finfo(dtype).max  # coded values may round beyond it, to infinity
        grid = grid.clamp(-most, most)
    return grid if dtype is None else grid.to(dtype)
