"""Entropy coding of quantized channels: each number in the class of what its channel was worth in the rows before.

Rows go from low to high frequencies. They are taken in rings, each twice as long as the one before, and all numbers
that one channel has in a ring have one class: the mean magnitude of that channel in the ring before, in their own
units. So a class costs nothing to tell, and follows the spectrum of each channel as it falls.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freqq.frequency.magnitudes import BUCKET, LARGEST, LOWEST, MOST_BUCKETS, Decoder, Encoder
from freqq.frequency.stream import StreamReader, StreamWriter

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
