"""Files as they are, or unpacked while they are read if they are gzip or Zstandard, which their first bytes tell."""

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
"""Bytes of the largest file that is unpacked (16 GiB); all of MRCR has a tenth of it."""

MOST_EXPANSION, FREE = 200, 2**28
"""How many times its size a file may unpack to, once that is over `FREE` bytes. Chats take 3 to 10 times their packed
size. A record is bounded by itself (`freqq.data.fields.MOST_CHARACTERS`), so no file can fill the memory."""

MOST_WINDOW = 2**27
"""Bytes that a Zstandard file may have the reader look back, which is what `zstd` itself allows unless told more."""

CHUNK = 2**16
ZSTANDARD_CHUNK = 2**10
"""Packed bytes that are unpacked at once: Zstandard needs 4 for up to 128 KiB, so this is at most 32 MiB of output."""


def packing(path: Path) -> str:
    """``gzip``, ``Zstandard``, or nothing for a file that is not packed."""
    with path.open("rb") as file:
        head = file.read(4)
    return next((name for name, (magic, _) in _PACKINGS.items() if head.startswith(magic)), "")


def bare(path: Path) -> Path:
    """A path without the suffix that says how the file is packed."""
    return path.with_suffix("") if path.suffix.lower() in SUFFIXES else path


def opened(path: Path) -> BinaryIO:
    """A file's bytes, unpacked; to be closed by the caller.

    Raises
    ------
    UserError
        While it is read, if it is damaged, cut off, or unpacks to more than `MOST_UNPACKED` or `MOST_EXPANSION` allow.
    """
    name = packing(path)
    return io.BufferedReader(_Unpacked(path, name), CHUNK) if name else path.open("rb")


class _Unpacked(io.RawIOBase):
    """The unpacked bytes of a file, counted."""

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
    """All frames of a file. The module's own stream takes one that is cut off for a whole one."""
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
