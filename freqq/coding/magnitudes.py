"""Entropy coding of magnitudes by class: asymmetric numeral systems (constriction) with two numbers for each table.

A magnitude is coded as its bucket, and the place in a bucket that holds several as it is. Buckets hold one magnitude
each up to 3, and then a quarter, a half of an octave: 4-5, 6-7, 8-11, 12-15, 16-23 ... (the hybrid integers of JPEG XL,
ISO/IEC 18181-1, annex C). Each class has the table that fits it best of a family: a probability of 0, and a geometric
distribution of all others. What the classes are, the caller decides, from what a decoder knows as well.

    1 byte    buckets that are used      2 bytes   tables      4 bytes   words
    section   zlib: the tables, first the one number of each, then the other
    4 bytes   for each word
    1 bit     for each number that is not 0: whether it is negative; the last byte is filled with 0

Tables are made by additions, multiplications and divisions of floating-point numbers alone, which IEEE 754 rounds in
one way, so that every machine makes the same ones. The coder is ANS: J. Duda, arXiv:1311.2540; R. Bamler,
arXiv:2201.01741.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from constriction import stream
from numpy.typing import NDArray

from freqq.coding.stream import StreamReader, StreamWriter

HEADER = struct.Struct("<BHI")

LARGEST = 0x7FFF
"""The largest magnitude that can be coded."""

EXACT = 4
"""Magnitudes under this have a bucket each."""


def _lowest() -> NDArray[np.int64]:
    found = list(range(EXACT))
    while found[-1] <= LARGEST:
        octave, upper = divmod(len(found), 2)
        found.append((2 + upper) << (octave - 1))
    return np.array(found)


LOWEST = _lowest()[:-1].astype(np.uint16)
"""The lowest magnitude of each bucket."""

PLACES = np.diff(_lowest())
"""How many magnitudes each bucket holds, a power of two."""

PLACE_BITS = np.log2(PLACES).astype(np.uint8)
BUCKET = np.repeat(np.arange(len(LOWEST), dtype=np.uint8), PLACES)[: LARGEST + 1]
"""The bucket of each magnitude."""

ODDS = np.array([(4 + i % 4) / 4 * 2.0 ** (i // 4 - 8) for i in range(56)])
"""How many magnitudes over 0 a table expects for each 0: 1/256 to 112."""

MEANS = np.array([(4 + i % 4) / 4 * 2.0 ** (i // 4 - 4) for i in range(72)])
"""By how much a table expects a magnitude over 0 to be over 1, on average: 1/16 to 28,672."""

RESOLUTION = 1 << 20
"""Probabilities are whole multiples of one over about this."""

MOST_BUCKETS = len(LOWEST)

SLICE = 1 << 20
"""Numbers whose places and signs are taken at a time, so that a large page needs little memory besides its own."""

SAMPLE = 4096
"""A class's table is fitted to about as many of its magnitudes."""


@lru_cache(maxsize=MOST_BUCKETS + 1)
def _geometric(buckets: int) -> NDArray[np.float64]:
    """Probabilities [len(MEANS), buckets - 1] of the buckets from 1 on; the last one takes all that is left."""
    ratio = MEANS / (1 + MEANS)
    powers = [ratio]
    for _ in range(int(PLACE_BITS.max())):
        powers.append(powers[-1] * powers[-1])
    survival = [np.ones_like(ratio)]
    for bucket in range(1, buckets - 1):
        survival.append(survival[-1] * powers[PLACE_BITS[bucket]])
    survival.append(np.zeros_like(ratio))
    at_least = np.stack(survival, 1)
    return at_least[:, :-1] - at_least[:, 1:]


@lru_cache(maxsize=4096)
def _table(buckets: int, odds: int, mean: int) -> Any:
    rest = ODDS[odds] / (1 + ODDS[odds])
    share = np.concatenate([[1 - rest], rest * _geometric(buckets)[mean]])
    return stream.model.Categorical(np.floor(share * RESOLUTION) + 1, perfect=False)


def fit(counts: NDArray[np.integer]) -> NDArray[np.uint8]:
    """The best table [groups, 2] for each histogram [groups, buckets]: its places in `ODDS` and in `MEANS`."""
    zeros, others = counts[:, 0].astype(float), counts[:, 1:].astype(float)
    rest = ODDS / (1 + ODDS)
    odds = (np.outer(zeros, -np.log2(1 - rest)) + np.outer(others.sum(1), -np.log2(rest))).argmin(1)
    floor = 1 / RESOLUTION
    mean = (others @ -np.log2(_geometric(counts.shape[1]) + floor).T).argmin(1)
    return np.stack([odds, mean], 1).astype(np.uint8)


def _grouped(keys: NDArray[np.uint8], edges: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """An order [n] that brings small keys [n] together, and how many there are of each class that occurs."""
    order = np.argsort(keys, kind="stable")
    inner = np.searchsorted(keys[order], edges)
    counts = np.diff(np.concatenate([[0], inner, [len(keys)]]))
    return order, counts[counts > 0]


def _slices(count: int) -> Iterator[slice]:
    return (slice(first, min(first + SLICE, count)) for first in range(0, count, SLICE))


class Encoder:
    """Codes magnitudes, class by class, and writes them.

    Parameters
    ----------
    buckets : int
        How many there are: one more than the highest that occurs.
    edges : uint8 [classes - 1]
        Ascending. Keys from one edge up to the next are one class.
    """

    def __init__(self, buckets: int, edges: NDArray[np.uint8]) -> None:
        self._buckets, self._edges = buckets, edges
        self._chunks: list[NDArray[np.int32]] = []

    def put(self, bucket: NDArray[np.uint8], keys: NDArray[np.uint8]) -> None:
        """Add buckets [m, n] of magnitudes, with a key for each column [n]; each call begins new classes."""
        if self._buckets > 1 and bucket.size:
            order, counts = _grouped(keys, self._edges)
            columns = np.split(bucket[:, order], np.cumsum(counts)[:-1], axis=1)
            self._chunks += [part.ravel().astype(np.int32) for part in columns]

    def write(
        self,
        writer: StreamWriter,
        magnitudes: NDArray[np.uint16],
        bucket: NDArray[np.uint8],
        negative: NDArray[np.bool_],
    ) -> None:
        """Write all that was put, given all magnitudes [n], their buckets [n] and signs [n], in any one order."""
        coder = stream.stack.AnsCoder()
        # It is a stack: what is to be decoded first goes in last.
        for part in list(_slices(len(bucket)))[::-1]:
            found = bucket[part]
            large = np.flatnonzero(found >= EXACT)
            place = (magnitudes[part][large] - LOWEST[found[large]]).astype(np.int32)
            bits = PLACE_BITS[found[large]]
            for width in range(int(bits.max(initial=0)), 0, -1):
                coder.encode_reverse(place[bits == width], stream.model.Uniform(1 << width))
        counts = [np.bincount(chunk[:: 1 + len(chunk) // SAMPLE], minlength=self._buckets) for chunk in self._chunks]
        tables = fit(np.stack(counts)) if counts else np.zeros((0, 2), np.uint8)
        for chunk, (odds, mean) in zip(self._chunks[::-1], tables[::-1].tolist(), strict=True):
            coder.encode_reverse(chunk, _table(self._buckets, odds, mean))
        words = coder.get_compressed()
        writer.header(HEADER, self._buckets, len(tables), len(words))
        writer.zlib_section(tables.T)
        writer.array(words)
        writer.array(np.packbits(negative[magnitudes != 0]))


class Decoder:
    """Takes back what an `Encoder` wrote, class by class; whatever is wrong is a `CorruptStream`.

    Parameters
    ----------
    reader : StreamReader
        Where the message begins.
    edges : uint8 [classes - 1]
        Those of the encoder.
    """

    def __init__(self, reader: StreamReader, edges: NDArray[np.uint8]) -> None:
        self._reader, self._edges = reader, edges
        self._buckets, tables, words = reader.header(HEADER)
        found = reader.zlib_section(2 * tables, "u1").reshape(2, tables).T
        if not 1 <= self._buckets <= MOST_BUCKETS or (found >= [len(ODDS), len(MEANS)]).any():
            raise reader.corrupt("its tables are out of bounds")
        self._tables = found.tolist()
        self._used = 0
        try:
            self._coder: Any = stream.stack.AnsCoder(np.ascontiguousarray(reader.array(words, "<u4"), np.uint32))
        except ValueError as error:
            raise reader.corrupt("its coded numbers do not decode") from error

    def take(self, rows: int, keys: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The buckets [rows, n] that were put next, given their keys [n]."""
        found = np.zeros((rows, len(keys)), np.uint8)
        if self._buckets == 1 or not found.size:
            return found
        order, counts = _grouped(keys, self._edges)
        tables = self._tables[self._used : self._used + len(counts)]
        if len(tables) != len(counts):
            raise self._reader.corrupt("it has too few tables")
        self._used += len(counts)
        parts = [
            self._decode(_table(self._buckets, *table), rows * count).reshape(rows, count)
            for table, count in zip(tables, counts.tolist(), strict=True)
        ]
        found[:, order] = np.concatenate(parts, axis=1)
        return found

    def finish(self, bucket: NDArray[np.uint8]) -> NDArray[np.int16]:
        """All numbers [n], given their buckets [n] in the order in which `Encoder.write` had them."""
        values = LOWEST[bucket].view(np.int16)
        for part in _slices(len(bucket)):
            own, found = values[part], bucket[part]
            large = np.flatnonzero(found >= EXACT)
            bits = PLACE_BITS[found[large]]
            for width in range(1, int(bits.max(initial=0)) + 1):
                at = large[bits == width]
                own[at] += self._decode(stream.model.Uniform(1 << width), len(at)).astype(np.int16)
        if self._used != len(self._tables) or not self._coder.is_empty():
            raise self._reader.corrupt("something follows its coded numbers")
        count = int(np.count_nonzero(values))
        signs = np.unpackbits(self._reader.array(-(-count // 8), "u1"), count=count).view(bool)
        for part in _slices(len(values)):
            own = values[part]
            over_0 = np.flatnonzero(own != 0)
            sized, negative, signs = own[over_0], signs[: len(over_0)], signs[len(over_0) :]
            own[over_0] = np.where(negative, -sized, sized)
        return values

    def _decode(self, model: Any, count: int) -> NDArray[np.int32]:
        try:
            return self._coder.decode(model, count)
        except (ValueError, AssertionError) as error:
            raise self._reader.corrupt("its coded numbers do not decode") from error
