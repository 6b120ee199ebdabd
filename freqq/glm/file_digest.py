"""Digests of a model's files, remembered for large ones: twenty gigabytes of weights take half a minute to read.

A file is known again by what the file system says of it (its path, size, inode, and the times of its last change of
content and of anything else) and by pieces of its content, spread over all of it. Name, size and time of change alone
would be no content: `cp -p`, `rsync -t` and `touch -d` set that time to any value. The time of the last change of
*anything* (ctime) nobody can set, it moves with each write, and pieces tell what copied file systems and restored
images say nothing of. A file that changed in the last seconds is read each time, for it may change again within one
tick of the file system's clock, and so is one that changes while it is read.
"""

import hashlib
import json
import os
import time
from pathlib import Path

from freqq import cache

READ_FILES = ("*.json", "*.safetensors", "*.jinja")
"""All that loading reads: what a hub model is downloaded from and what a folder's revision is a digest of."""

LARGE = 2**26
"""Bytes from which on a file is remembered: 64 MiB are read in a tenth of a second."""

PIECES, PIECE_BYTES = 64, 2**12
SETTLED_S = 10.0
"""How long a file has to be unchanged: network file systems' clocks are some seconds apart, and their ticks coarse."""


def digest(folder: Path) -> str:
    """16 hex digits that change with anything in a folder that loading reads: sha256 over names and contents."""
    total = hashlib.sha256()
    for file in sorted(file for pattern in READ_FILES for file in folder.glob(pattern)):
        total.update(f"{file.name} {file_digest(file)}\n".encode())
    return total.hexdigest()[:16]


def file_digest(path: Path, large: int = LARGE) -> str:
    """The SHA-256 of a file's content, in hex.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    if path.stat().st_size < large:
        return _read(path)
    seen = _seen(path)
    kept = cache.folder("files") / f"{hashlib.sha256(seen.encode()).hexdigest()[:32]}.json"
    known = cache.recall(kept)
    if isinstance(known, dict) and known.get("seen") == seen:
        return str(known["sha256"])
    began, found = time.time(), _read(path)
    if _seen(path) == seen and began - _changed(path) > SETTLED_S:
        cache.remember(kept, lambda before: {"seen": seen, "sha256": found})
    return found


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _changed(path: Path) -> float:
    """When a file last changed; later than now by a clock that is ahead."""
    status = path.stat()
    return max(status.st_mtime, status.st_ctime)


def _seen(path: Path) -> str:
    """What a file is known by."""
    pieces = hashlib.sha256()
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        for i in range(PIECES):
            file.seek((status.st_size - PIECE_BYTES) * i // (PIECES - 1))
            pieces.update(file.read(PIECE_BYTES))
    times = [status.st_mtime_ns, status.st_ctime_ns]
    return json.dumps([str(path.resolve()), status.st_ino, status.st_size, *times, pieces.hexdigest()])
