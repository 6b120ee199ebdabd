"""Atomic file writes, and a check that a folder is writable before the work starts."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from freqq.errors import UserError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name, flush it to disk, and rename it.

    If a network file system loses the rename, the complete file remains under its temporary name; see `name_of`.

    Raises
    ------
    OSError
        For example if the disk is full. An earlier file at `path` is then unchanged.
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


def write_output(path: Path, content: bytes) -> None:
    """`write_whole` for a command's output, in a folder that is created if needed.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda temporary: temporary.write_bytes(content))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def as_text(path: Path | str) -> str:
    r"""A path as text that any table can hold: bytes that are not UTF-8 become ``\xNN``."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def same_file(stored: str, path: Path) -> bool:
    """Whether a path is the one that was stored by `as_text`; nobody knows what a relative one was relative to."""
    return Path(stored).is_absolute() and as_text(Path(stored).resolve()) == as_text(path.resolve())


def name_of(temporary: Path) -> Path:
    """The final path of a temporary file of `write_whole`."""
    return temporary.with_name(temporary.name.removeprefix(".").rsplit(".", 2)[0])


def _rename(temporary: Path, path: Path) -> None:
    """Rename a file. NFS repeats a request if its reply was lost, and then finds no file if the first one succeeded."""
    try:
        temporary.replace(path)
    except FileNotFoundError:
        if not path.exists():
            raise


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut; file systems that cannot flush a folder order such writes themselves."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_file(path: Path, option: str = "--out") -> None:
    """Check before the work that a file can be written.

    Raises
    ------
    UserError
        If it is a folder, or its folder cannot be created or written.
    """
    if path.is_dir():
        raise UserError(f"{option} {path} is a folder: give a file name")
    check_writable(path.parent)


def check_writable(folder: Path) -> None:
    """Try to write a file (permission bits do not show read-only or full disks) and remove it again.

    Raises
    ------
    UserError
        If the folder cannot be created or written.
    """
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    probe = folder / f".probe.{uuid4().hex[:8]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"freqq")
    except OSError as error:
        raise UserError(f"cannot write to {folder} ({error.strerror}): choose another --out") from error
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
            for parent in missing:
                parent.rmdir()
