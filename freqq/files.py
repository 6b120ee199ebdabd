"""Files that appear whole or not at all, and folders that are known to be writable before the work starts."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from freqq.errors import UserError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file under a temporary name, flush it to the disk, then give it its name.

    Where a network file system forgets the new name, the file stays whole under the old one; see `name_of`.

    Raises
    ------
    OSError
        If the disk is full, for example. What was at `path` before is then still there, and nothing else.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        _rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def name_of(temporary: Path) -> Path:
    """Where the file belongs that `write_whole` makes under this name."""
    return temporary.with_name(temporary.name.removeprefix(".").rsplit(".", 2)[0])


def _rename(temporary: Path, path: Path) -> None:
    """Rename a file. NFS repeats a request whose reply was lost, and finds no file if the first one was carried out."""
    try:
        temporary.replace(path)
    except FileNotFoundError:
        if not path.exists():
            raise


def _flush_folder(folder: Path) -> None:
    """Let a new name survive a power cut; file systems that cannot flush a folder order such writes by themselves."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_writable(folder: Path) -> None:
    """Really write a file: permission bits do not tell about read-only or full disks. Leaves nothing behind.

    Raises
    ------
    UserError
        If the folder cannot be made or written.
    """
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    probe = folder / f".probe.{uuid4().hex[:8]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"freqq")
    except OSError as error:
        raise UserError(f"cannot write to {folder} ({error.strerror}): choose another --out") from error
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
            for parent in made:
                parent.rmdir()
