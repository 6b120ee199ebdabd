"""How names of codewords are coded: coding 4 of `freqq.tokens.codings`.

    8 bytes   which codebook: the start of its file's SHA-256
    1 byte    rate
    4 bytes   n, how many 16-bit words      4 bytes   m, how many steps of the DC are too large for a symbol
    4 m bytes those steps, int32
    4 bytes   for each row of 256 symbols: the integer that its decoder starts from
    2 n bytes the words

The symbols are those of the DC, axis by axis (a step s of -127 .. 127 as s + 128, any other one as 0), then for each
band and each of its coefficients in raster order the words' names, group by group.
"""

import struct

import numpy as np
import torch
from numpy.typing import NDArray

from freqq.frequency import ans
from freqq.frequency.bands import band_order
from freqq.frequency.codebook_files import ID_BYTES
from freqq.frequency.stream import StreamReader, StreamWriter
from freqq.frequency.token_codebook import RATES, Rate
from freqq.frequency.vectors import LARGEST_DC, VectorGrid
from freqq.tokens.codebooks import token_codebook

VECTOR_HEADER = struct.Struct(f"<{ID_BYTES}sBII")
ROW = 256
"""Symbols of a row. A row costs four bytes; all rows are coded abreast, so longer ones take more time."""

MIDDLE = 128


def write_vectors(writer: StreamWriter, coded: VectorGrid) -> None:
    """Add a grid to a stream."""
    rate = coded.book.rates[coded.rate - 1]
    dc = coded.dc.cpu().numpy().astype(np.int64)
    inside = np.abs(dc) < MIDDLE
    names = [part.cpu().numpy().ravel() for part in coded.symbols]
    symbols = np.concatenate([np.where(inside, dc + MIDDLE, 0), *names]).astype(np.int64)
    states = rate.states(tuple(map(len, coded.symbols)))
    entries = rate.source.starts[_in_rows(states, rate)] + _in_rows(symbols)
    words, integers = ans.encode(rate.source, entries)
    writer.header(VECTOR_HEADER, coded.book.id, coded.rate, len(words), int((~inside).sum()))
    writer.array(dc[~inside].astype(np.int32))
    writer.array(integers)
    writer.array(words)


def read_vectors(reader: StreamReader, shape: tuple[int, int], channels: int, dtype: torch.dtype) -> VectorGrid:
    """A grid of `shape` from a stream.

    Raises
    ------
    CorruptStream
        If it is not one.
    MissingCodebook
        If its codebook is not here.
    """
    name, number, words, escapes = reader.header(VECTOR_HEADER)
    book = token_codebook(name)
    if book.channels != channels or not 1 <= number <= RATES:
        raise reader.corrupt(f"rate {number} of {channels} channels is not in its codebook")
    rate = book.rates[number - 1]
    _, counts = band_order(*shape, *book.edges)
    large = reader.array(escapes, "<i4").astype(np.int64)
    groups = [len(band) for band in rate.bands]
    total = len(rate.dc_states) + sum(n * g for n, g in zip(counts, groups, strict=True))
    integers = reader.array(-(-total // ROW), "<u4")
    coded = reader.array(words, "<u2")
    states = _in_rows(rate.states(counts), rate)
    decoded = ans.decode(rate.source, coded, integers, ROW, np.zeros(0, np.int64), states)
    if decoded is None:
        raise reader.corrupt("its symbols do not decode")
    symbols = decoded.ravel()[:total]
    dc = symbols[: len(rate.dc_states)] - MIDDLE
    if np.count_nonzero(dc == -MIDDLE) != escapes or (np.abs(large) >= LARGEST_DC).any():
        raise reader.corrupt("its DC does not decode")
    dc[dc == -MIDDLE] = large
    ends = np.cumsum([len(dc), *(n * g for n, g in zip(counts, groups, strict=True))])
    names = [
        torch.from_numpy(symbols[first:end].astype(np.uint8).reshape(n, g))
        for first, end, n, g in zip(ends[:-1], ends[1:], counts, groups, strict=True)
    ]
    return VectorGrid(shape, book, number, torch.from_numpy(dc.astype(np.int32)), (names[0], names[1], names[2]))


def _in_rows(values: NDArray[np.int64], rate: Rate | None = None) -> NDArray[np.int64]:
    """Values [n] as rows of `ROW`, filled up with 0, or with the state of `rate` that costs nothing."""
    fill = rate.source.states - 1 if rate else 0
    return np.concatenate([values, np.full(-len(values) % ROW, fill)]).reshape(-1, ROW)
