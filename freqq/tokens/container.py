"""The stream of a page's tokens (.fqt).

After the frame of `freqq.frequency.stream`:

    1 byte    coding: 0 plain values, 1 quantized bands
    1 byte    number format of the features: 0 float32, 1 float16, 2 bfloat16
    2 bytes   h       2 bytes   w       4 bytes   C

Plain values: one zlib section of h·w·C values. Quantized bands:

    2 x 8 bytes   band edges low and mid, float64
    3 x 1 byte    bits of the low, middle and high band
    4 C bytes     DC coefficients, float32
    2 C bytes     for each band that is not dropped: scales, bfloat16
    sections      for each band that is not dropped, its symbols [n, C] in raster order of the coefficients:
                  up to 8 bits one zlib section of int8, over 8 bits one of the low bytes and one of the high bytes
"""

import struct

import numpy as np
import torch
from torch import Tensor

from freqq.errors import UserError
from freqq.frequency.bands import band_order
from freqq.frequency.quantize import QuantizedGrid, check_bits, check_edges, highest_symbol, symbol_dtype
from freqq.frequency.stream import StreamReader, StreamWriter

MAGIC, VERSION = b"FQT ", 1
PLAIN, QUANTIZED = 0, 1
HEADER = struct.Struct("<BBHHI")
BANDS_HEADER = struct.Struct("<dd3B")
FORMATS = (torch.float32, torch.float16, torch.bfloat16)

MAX_SIDE, MAX_VALUES = 2048, 1 << 28
"""Most cells a side and values in a grid: 16 times the tokens of the largest page that a GLM-4V takes."""


def write_plain(grid: Tensor) -> bytes:
    """A grid [h, w, C] without any loss, in its own number format."""
    writer = _start(PLAIN, grid.shape[:2], grid.shape[2], grid.dtype)
    writer.zlib_section(grid.detach().cpu().contiguous().view(torch.uint8).numpy())
    return writer.finish()


def write_quantized(coded: QuantizedGrid, dtype: torch.dtype) -> bytes:
    """A quantized grid; `dtype` is the number format that its features are given in after decoding."""
    writer = _start(QUANTIZED, coded.shape, len(coded.dc), dtype)
    writer.header(BANDS_HEADER, *coded.edges, *coded.bits)
    writer.array(coded.dc.cpu().numpy())
    kept = [b for b in range(3) if coded.bits[b]]
    for b in kept:
        # The scales are bfloat16 values, so the lower half of their float32 bits is zero.
        writer.array((coded.scales[b].cpu().numpy().view(np.uint32) >> 16).astype(np.uint16))
    for b in kept:
        symbols = coded.symbols[b].cpu().numpy()
        if symbols.dtype == np.int8:
            writer.zlib_section(symbols)
        else:
            writer.zlib_section((symbols & 0xFF).astype(np.uint8))
            writer.zlib_section((symbols >> 8).astype(np.int8))
    return writer.finish()


def read(data: bytes) -> tuple[Tensor | QuantizedGrid, torch.dtype]:
    """What a stream holds, a plain grid [h, w, C] or a quantized one, and the number format of its features.

    Raises
    ------
    CorruptStream
        If it is anything but a whole, undamaged stream of this version.
    """
    reader = StreamReader(data, MAGIC, VERSION)
    coding, number_format, h, w, channels = reader.header(HEADER)
    if number_format >= len(FORMATS):
        raise reader.corrupt(f"unknown number format {number_format}")
    if not (1 <= h <= MAX_SIDE and 1 <= w <= MAX_SIDE and channels >= 1 and h * w * channels <= MAX_VALUES):
        raise reader.corrupt(f"a grid of {h} x {w} tokens of {channels} channels is out of bounds")
    dtype = FORMATS[number_format]
    if coding == PLAIN:
        values = reader.zlib_section(h * w * channels * dtype.itemsize, "u1")
        reader.end()
        return torch.from_numpy(values.copy()).view(dtype).view(h, w, channels), dtype
    if coding != QUANTIZED:
        raise reader.corrupt(f"unknown coding {coding}")
    coded = _read_bands(reader, (h, w), channels)
    reader.end()
    return coded, dtype


def _read_bands(reader: StreamReader, shape: tuple[int, int], channels: int) -> QuantizedGrid:
    low, mid, *bits = reader.header(BANDS_HEADER)
    try:
        check_edges(low, mid)
        check_bits(tuple(bits))
    except UserError as error:
        raise reader.corrupt(str(error)) from error
    dc = reader.array(channels, "<f4").astype(np.float32)
    scales = np.zeros((3, channels), np.float32)
    for b in range(3):
        if bits[b]:
            scales[b] = (reader.array(channels, "<u2").astype(np.uint32) << 16).view(np.float32)
    if not (np.isfinite(dc).all() and np.isfinite(scales).all() and (scales >= 0).all()):
        raise reader.corrupt("a scale or mean is not a number")
    _, counts = band_order(*shape, low, mid)
    symbols = [_read_symbols(reader, n if b else 0, channels, b) for n, b in zip(counts, bits, strict=True)]
    return QuantizedGrid(
        shape, (low, mid), (bits[0], bits[1], bits[2]), torch.from_numpy(dc), torch.from_numpy(scales),
        (symbols[0], symbols[1], symbols[2]),
    )  # fmt: skip


def _read_symbols(reader: StreamReader, n: int, channels: int, bits: int) -> Tensor:
    if not bits:
        return torch.empty(0, channels, dtype=symbol_dtype(bits))
    if bits <= 8:
        symbols = reader.zlib_section(n * channels, "i1").copy()
    else:
        low_bytes = reader.zlib_section(n * channels, "u1")
        symbols = (reader.zlib_section(n * channels, "i1").astype(np.int16) << 8) | low_bytes
    # abs() of the most negative integer would be negative again.
    if symbols.size and (symbols.min() < -highest_symbol(bits) or symbols.max() > highest_symbol(bits)):
        raise reader.corrupt("a symbol is out of range")
    return torch.from_numpy(symbols.reshape(n, channels))


def _start(coding: int, shape: tuple[int, ...], channels: int, dtype: torch.dtype) -> StreamWriter:
    h, w = shape
    if h > MAX_SIDE or w > MAX_SIDE or h * w * channels > MAX_VALUES:
        raise UserError(f"a grid of {h} x {w} tokens of {channels} channels is too large to be stored: split the page")
    if dtype not in FORMATS:
        raise UserError(
            f"features of type {str(dtype).removeprefix('torch.')} cannot be stored: use float32 or bfloat16"
        )
    writer = StreamWriter(MAGIC, VERSION)
    writer.header(HEADER, coding, FORMATS.index(dtype), h, w, channels)
    return writer
