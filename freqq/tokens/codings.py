"""How the features of a page's stream are coded.

Coding 0, plain values: one zlib section of h·w·C values in the stream's number format.

Coding 1, quantized bands:

    2 x 8 bytes   band edges low and mid, float64
    3 x 1 byte    bits of the low, middle and high band
    4 C bytes     DC coefficients, float32
    section       for each band that is not dropped: scales [C], 2 bytes each, see `freqq.transforms.quantize`
    ...           the symbols [n, C] of all bands as `write_symbols` codes them, each by ascending i² + j²

Coding 2, integers without a transform: 1 byte bits, 4 C bytes means (float32), a section of scales [C], and the
symbols [h·w, C] as one band in raster order.

Coding 3, the study's own arithmetic: see `freqq.tokens.original`. Coding 4, names of codewords: see `freqq.tokens.vq`.

Quantized numbers are coded each in the class of what its channel was worth in the rows before. Rows go from low to high
frequencies. They are taken in rings, each twice as long as the one before, and all numbers that one channel has in a
ring have one class: the mean magnitude of that channel in the ring before, in their own units. So a class costs nothing
to tell, and follows the spectrum of each channel as it falls.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from freqq.coding.magnitudes import BUCKET, LARGEST, LOWEST, MOST_BUCKETS, Decoder, Encoder
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
    checked(reader, check_edges, low, mid)
    checked(reader, check_bits, tuple(bits))
    dc = numbers(reader, reader.array(channels, "<f4"))
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
    means = numbers(reader, reader.array(channels, "<f4"))
    scales = _read_scales(reader, channels)
    cells = shape[0] * shape[1]
    [symbols] = read_symbols(reader, [cells], _steps(scales[None], [bits]))
    return IntegerGrid(shape, bits, means, scales, _sorted_back(reader, symbols, np.arange(cells), bits))


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
}
"""By the number that a stream has; methods with a coding of their own add it here."""


def code_of(coded: Coded) -> int:
    """The number of a grid's coding."""
    return next(code for code, coding in CODINGS.items() if isinstance(coded, coding.kind))


def restore(coded: Coded) -> Tensor:
    """The grid [h, w, C] that was coded: plain values as they are, anything else in float32."""
    return CODINGS[code_of(coded)].restore(coded)


FIRST_RING = 4
"""Rows of the first ring."""

CLASS_EDGES = np.arange(1, MOST_BUCKETS, dtype=np.uint8)
FINENESS = 4
"""Means are told apart in buckets of quarters."""

Symbols = NDArray[np.int16]


class _Expectation:
    """What a channel was worth in the last ring."""

    def __init__(self, channels: int) -> None:
        self._worth = np.zeros(channels)

    def keys(self, steps: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The key of each channel [C] in a ring whose symbols stand for steps [C]."""
        in_steps = np.divide(self._worth, steps, out=np.zeros_like(self._worth), where=steps > 0)
        return BUCKET[np.minimum(FINENESS * in_steps, LARGEST).astype(np.int64)]

    def see(self, bucket: NDArray[np.uint8], steps: NDArray[np.float32]) -> None:
        """Take note of the buckets [m, C] of a ring; where they begin is all that a decoder knows by then."""
        self._worth = LOWEST[bucket].sum(0, dtype=np.int64) / len(bucket) * steps.astype(np.float64)


def _rings(rows: int) -> Iterator[slice]:
    first, length = 0, FIRST_RING
    while first < rows:
        yield slice(first, min(first + length, rows))
        first, length = first + length, 2 * length


def write_symbols(writer: StreamWriter, bands: Sequence[Symbols], steps: Sequence[NDArray[np.float32]]) -> None:
    """Write the symbols int16 [n, C] of bands, low frequencies first, that stand for multiples of steps [C].

    There is at least one band; a band may have no rows.
    """
    magnitudes = [np.abs(symbols).view(np.uint16) for symbols in bands]
    buckets = [BUCKET[band] for band in magnitudes]
    encoder = Encoder(max(int(bucket.max(initial=0)) for bucket in buckets) + 1, CLASS_EDGES)
    worth = _Expectation(len(steps[0]))
    for bucket, unit in zip(buckets, steps, strict=True):
        for ring in _rings(len(bucket)):
            encoder.put(bucket[ring], worth.keys(unit))
            worth.see(bucket[ring], unit)
    encoder.write(writer, _flat(magnitudes), _flat(buckets), _flat(bands) < 0)


def read_symbols(reader: StreamReader, rows: Sequence[int], steps: Sequence[NDArray[np.float32]]) -> list[Symbols]:
    """The symbols int16 [n, C] of bands of so many rows each.

    Raises
    ------
    CorruptStream
        If they cannot be decoded.
    """
    decoder = Decoder(reader, CLASS_EDGES)
    channels = len(steps[0])
    buckets = []
    worth = _Expectation(channels)
    for count, unit in zip(rows, steps, strict=True):
        bucket = np.empty((count, channels), np.uint8)
        for ring in _rings(count):
            bucket[ring] = decoder.take(ring.stop - ring.start, worth.keys(unit))
            worth.see(bucket[ring], unit)
        buckets.append(bucket)
    values = decoder.finish(_flat(buckets))
    ends = np.cumsum(rows) * channels
    return [part.reshape(-1, channels) for part in np.split(values, ends[:-1])]


def _flat(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate([part.ravel() for part in parts])
