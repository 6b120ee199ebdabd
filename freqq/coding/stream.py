"""The frame that all of freqq's streams share, and reading it without trusting it.

    4 bytes   magic, which names the kind of file
    1 byte    version
    4 bytes   CRC-32 of everything that follows
    ...       the kind's own header (fixed size), plain arrays, and compressed sections

All numbers are little-endian. A section is its compressed length (4 bytes) and that many bytes of zlib or LZMA. How
long it is when decompressed follows from the header, and no more than that is ever decompressed: a section that holds
more or less is refused. So a header alone makes a reader allocate nothing; what compressed data hold may be a thousand
times their length, up to the bounds of each kind.
"""

import lzma
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freqq.errors import UserError

FRAME = struct.Struct("<4sBI")
LENGTH = struct.Struct("<I")
LZMA_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 22, "lc": 0, "lp": 0, "pb": 0}]
"""Raw LZMA2 for arrays of bytes that are no text: the neighbours, not the position in a word, predict a symbol."""


class CorruptStream(UserError):
    """Bytes that are no stream of this kind: damaged, truncated, of a newer version, or something else altogether."""


class StreamWriter:
    """Collects the parts of a stream in order."""

    def __init__(self, magic: bytes, version: int) -> None:
        self._frame = magic, version
        self._parts: list[bytes] = []

    def header(self, form: struct.Struct, *values: Any) -> None:
        """Add a header."""
        self._parts.append(form.pack(*values))

    def array(self, values: NDArray[Any]) -> None:
        """Add an array as it is."""
        self._parts.append(_little_endian(values))

    def zlib_section(self, values: NDArray[Any], level: int = 6) -> None:
        """Add an array, compressed with zlib."""
        self._section(zlib.compress(_little_endian(values), level))

    def lzma_section(self, values: NDArray[Any]) -> None:
        """Add an array, compressed with LZMA: slower and smaller."""
        self._section(lzma.compress(_little_endian(values), lzma.FORMAT_RAW, filters=LZMA_FILTERS))

    def _section(self, compressed: bytes) -> None:
        self._parts += [LENGTH.pack(len(compressed)), compressed]

    def finish(self) -> bytes:
        """The whole stream."""
        body = b"".join(self._parts)
        return FRAME.pack(*self._frame, zlib.crc32(body)) + body


class StreamReader:
    """Takes the parts of a stream in the order in which they were written; anything unexpected is a `CorruptStream`."""

    def __init__(self, data: bytes, magic: bytes, version: int) -> None:
        self._kind = magic.decode("ascii").strip()
        if len(data) < FRAME.size or data[: len(magic)] != magic:
            raise CorruptStream(f"not a {self._kind} stream: it does not start with {self._kind!r}")
        _, found, checksum = FRAME.unpack_from(data)
        if found != version:
            raise CorruptStream(f"a {self._kind} stream of version {found}; this freqq reads version {version}")
        self._data = memoryview(data)
        self._at = FRAME.size
        if zlib.crc32(self._data[self._at :]) != checksum:
            raise self.corrupt("its checksum does not match, so it is damaged or truncated")

    def corrupt(self, reason: str) -> CorruptStream:
        """The error for this stream."""
        return CorruptStream(f"the {self._kind} stream cannot be read: {reason}")

    def header(self, form: struct.Struct) -> tuple[Any, ...]:
        """The fields of a header."""
        return form.unpack(self._take(form.size))

    def array(self, count: int, dtype: str) -> NDArray[Any]:
        """An array that was stored as it is."""
        return np.frombuffer(self._take(count * np.dtype(dtype).itemsize), dtype)

    def zlib_section(self, count: int, dtype: str) -> NDArray[Any]:
        """An array of exactly `count` values from a zlib section."""
        return self._decompress(zlib.decompressobj(), zlib.error, count, dtype)

    def lzma_section(self, count: int, dtype: str) -> NDArray[Any]:
        """An array of exactly `count` values from an LZMA section."""
        return self._decompress(
            lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=LZMA_FILTERS), lzma.LZMAError, count, dtype
        )

    def rest(self) -> bytes:
        """All that is left."""
        return bytes(self._take(len(self._data) - self._at))

    def end(self) -> None:
        """Refuse anything that is left over."""
        if self._at != len(self._data):
            raise self.corrupt(f"{len(self._data) - self._at} bytes follow its end")

    def _take(self, size: int) -> memoryview:
        if size > len(self._data) - self._at:
            raise self.corrupt("it ends too early")
        self._at += size
        return self._data[self._at - size : self._at]

    def _decompress(self, decoder: Any, error: type[Exception], count: int, dtype: str) -> NDArray[Any]:
        compressed = self._take(LENGTH.unpack(self._take(LENGTH.size))[0])
        size = count * np.dtype(dtype).itemsize
        try:
            # One byte more than is wanted, so that the decoder sees the end, and a section that is too long shows.
            values = decoder.decompress(compressed, size + 1)
        except (error, EOFError) as fault:
            raise self.corrupt("a section does not decompress") from fault
        if len(values) != size or not decoder.eof or decoder.unused_data:
            raise self.corrupt("a section differs in length from what the header says")
        return np.frombuffer(values, dtype)


def _little_endian(values: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
