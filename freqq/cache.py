"""What takes long to find out, kept in a folder for other processes. Any of it may be lost, and is then found again.

The folder is the one that the environment variable FREQQ_CACHE names, else ``$XDG_CACHE_HOME/freqq`` or
``~/.cache/freqq``.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from freqq.errors import UserError
from freqq.files import write_whole

FOLDER = "FREQQ_CACHE"


def folder(kind: str) -> Path:
    """Where things of a kind are kept; it need not exist.

    Raises
    ------
    UserError
        If the user has no home folder, as in some containers, and neither variable is set.
    """
    own, shared = os.environ.get(FOLDER), os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(own or Path(shared or Path.home() / ".cache") / "freqq") / kind
    except RuntimeError as error:
        raise UserError(f"this user has no home folder for the cache: set {FOLDER} to a folder") from error


def recall(path: Path) -> Any | None:
    """The value of JSON that `remember` wrote; None if there is none, or the file is not what was written."""
    with suppress(OSError, ValueError, RecursionError):
        said, _, text = path.read_bytes().partition(b"\n")
        if said == _sum(text):
            return json.loads(text)
    return None


def remember(path: Path, change: Callable[[Any | None], Any]) -> None:
    """Store what `change` makes of the value that is there (None: there is none, or it is damaged).

    Processes of one host that do so at once come one after another. Where a file system has no locks, the file is still
    that of one of them, and whole. A folder that cannot be written keeps nothing, which is no error.
    """
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(path.with_name(f".{path.name}.lock")):
            text = json.dumps(change(recall(path)), separators=(",", ":")).encode()
            write_whole(path, lambda temporary: temporary.write_bytes(_sum(text) + b"\n" + text))


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process of this host holds the file, then hold it."""
    with path.open("w") as file:
        with suppress(OSError):  # a file system without locks: two processes then do the same
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()
