"""Files that appear whole or not at all, and folders that are known to be writable before the work starts."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from freqq.errors import UserError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file under a temporary name, flush it to the disk, then give it its name."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
