"""Open files that may be compressed (gzip, Zstandard), detected by their first bytes."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

from freqq.errors import UserError

SUFFIXES = (".gz", ".zst")

MOST_UNPACKED = 2**34
"""Largest uncompressed size of a file, in bytes (16 GiB); all of MRCR has a tenth of it."""

MOST_EXPANSION, FREE = 200, 2**28
"""Largest ratio of uncompressed to compressed size, for files that expand to over `FREE` bytes. Chats expand 3 to 10
times. Each record is bounded too (`freqq.data.fields.MOST_CHARACTERS`), so no file can fill the memory."""

MOST_WINDOW = 2**27
"""Largest Zstandard window, in bytes: the default limit of `zstd`."""

CHUNK = 2**16
ZSTANDARD_CHUNK = 2**10
"""Compressed bytes per step. 4 bytes of Zstandard expand to at most 128 KiB, so a step gives at most 32 MiB."""


def packing(path: Path) -> str:
    """``gzip``, ``Zstandard``, or empty for a file that is not compressed."""
    with path.open("rb") as file:
        head = file.read(4)
    return next((name for name, (magic, _) in _PACKINGS.items() if head.startswith(magic)), "")


def bare(path: Path) -> Path:
    """A path without the suffix of its compression."""
    return path.with_suffix("") if path.suffix.lower() in SUFFIXES else path


def opened(path: Path) -> BinaryIO:
    """A file's uncompressed bytes; the caller closes it.

    Raises
    ------
    UserError
        While reading, if it is damaged, truncated, or larger than `MOST_UNPACKED` or `MOST_EXPANSION` allow.
    """
    name = packing(path)
    return io.BufferedReader(_Unpacked(path, name), CHUNK) if name else path.open("rb")


class _Unpacked(io.RawIOBase):
    """The uncompressed bytes of a file, counted."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self.file = path.open("rb")
        self.pieces = _PACKINGS[name][1](self.file)
        self.piece = memoryview(b"")
        self.most = min(MOST_UNPACKED, max(FREE, MOST_EXPANSION * path.stat().st_size))
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self.piece:
            self.piece = memoryview(self._next())
        size = min(len(buffer), len(self.piece))
        buffer[:size] = self.piece[:size]
        self.piece = self.piece[size:]
        return size

    def _next(self) -> bytes:
        try:
            piece = next(self.pieces, b"")
        except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
            reason = " ".join(str(error).split())[:120]
            raise UserError(f"{self.path} is not a whole {self.name} file ({reason}): copy it again") from error
        self.count += len(piece)
        if self.count > self.most:
            raise UserError(
                f"{self.path} unpacks to over {self.most:,} bytes from {self.path.stat().st_size:,}, far more than "
                "chats do; if it is right, unpack it and give the result"
            )
        return piece

    def close(self) -> None:
        self.file.close()
        super().close()


def _gunzip(file: BinaryIO) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as unpacked:
        while piece := unpacked.read(CHUNK):
            yield piece


def _unzstd(file: BinaryIO) -> Iterator[bytes]:
    """All frames of a file. (`zstandard`'s own stream reader does not notice a truncated frame.)"""
    decoder = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW)
    frame = decoder.decompressobj()
    while packed := file.read(ZSTANDARD_CHUNK):
        while packed:
            if frame.eof:
                frame = decoder.decompressobj()
            if piece := frame.decompress(packed):
                yield piece
            packed = frame.unused_data
    if not frame.eof:
        raise EOFError("it ends within a frame")


_PACKINGS: dict[str, tuple[bytes, Callable[[BinaryIO], Iterator[bytes]]]] = {
    "gzip": (b"\x1f\x8b", _gunzip),
    "Zstandard": (b"\x28\xb5\x2f\xfd", _unzstd),
}
