"""A shard is one process's at a time: a lock that says whose it is, and that a dead owner does not keep.

The kernel's own file lock decides between processes of one host; it falls with its owner, however that dies. What is
written into the file names the owner to others, and is all there is between hosts that do not share such locks.
"""

import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import IO

from freqq.errors import UserError
from freqq.runs.shard import Shard

MOST_BYTES = 4096
"""Of a lock file, what is read."""

ORPHANS_S = 20.0
"""How long the workers of a process that was killed may take to end."""


@dataclass(frozen=True)
class Owner:
    """A process: its id, its host, and the Slurm job that it belongs to, which outlives it if it is queued again."""

    pid: int
    host: str
    job: str | None = None

    @classmethod
    def me(cls) -> "Owner":
        """This process."""
        return cls(os.getpid(), socket.gethostname(), os.environ.get("SLURM_JOB_ID"))

    @classmethod
    def read(cls, file: IO[str]) -> "Owner | None":
        """Who wrote a lock file; None if it was given back, or holds anything else."""
        file.seek(0)
        try:
            found = json.loads(file.read(MOST_BYTES))
            return cls(int(found["pid"]), str(found["host"]), found["job"])
        except (ValueError, TypeError, LookupError):
            return None

    def may_live(self) -> bool:
        """Whether it could still be at work, as far as can be told without a lock of the kernel's."""
        here = Owner.me()
        if self.host != here.host:
            # Slurm starts a job again only after it has ended.
            return self.job is None or self.job != here.job
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@contextmanager
def lock(folder: Path, shard: Shard, note: Callable[[str], None] = lambda text: None) -> Iterator[int]:
    """Hold a shard of a run directory until the end, of the block or of the process.

    Yields the lock's file descriptor. Processes that inherit it hold the shard with this one, and after it if it is
    killed: then a next one waits for their end, which is near.

    Parameters
    ----------
    note : callable
        Told if a dead process's lock is taken over.

    Raises
    ------
    UserError
        If another process holds it, or one of a division into another number of shards, which overlaps.
    """
    path = folder / f".lock-{shard.index}-of-{shard.count}"
    with path.open("a+") as file:
        kernel = _kernel_lock(file, fcntl.LOCK_EX)
        owner = Owner.read(file)
        deadline = monotonic() + ORPHANS_S
        while kernel is False and owner is not None and not owner.may_live() and monotonic() < deadline:
            sleep(0.1)
            kernel = _kernel_lock(file, fcntl.LOCK_EX)
        if _living(owner, kernel):
            raise UserError(_held(owner, shard, path))
        _write(file, Owner.me())
        try:
            _check_others(folder, shard)
            if owner is not None:
                note(f"{owner}, which held part {shard} of {folder}, is gone: going on in its place")
            yield file.fileno()
        finally:
            _write(file, None)


def _check_others(folder: Path, shard: Shard) -> None:
    """Refuse if a division into another number of shards is being worked on."""
    for path, other, owner in _held_locks(folder):
        if other.count != shard.count:
            raise UserError(_held(owner, other, path))


def owners(folder: Path) -> list[Owner]:
    """The processes that hold some shard of a run directory."""
    return [owner for _, _, owner in _held_locks(folder)]


def _held_locks(folder: Path) -> Iterator[tuple[Path, Shard, Owner]]:
    for path in sorted(folder.glob(".lock-*-of-*")):
        index, _, count = path.name.removeprefix(".lock-").partition("-of-")
        if index.isdecimal() and count.isdecimal():
            with path.open("r") as file:
                owner = Owner.read(file)
                if owner is not None and _living(owner, _kernel_lock(file, fcntl.LOCK_SH)):
                    yield path, Shard(int(index), int(count)), owner


def _kernel_lock(file: IO[str], kind: int) -> bool | None:
    """Take the kernel's lock: whether it was free; None on a file system that has none."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _living(owner: Owner | None, kernel: bool | None) -> bool:
    if kernel is False:
        return True
    if owner is None:
        return False
    # With the kernel's lock in hand, no process of this host holds it: the id was given to another one since.
    return owner.may_live() and not (kernel and owner.host == Owner.me().host)


def _held(owner: Owner | None, shard: Shard, path: Path) -> str:
    who = "another process" if owner is None else str(owner)
    way_out = "wait for it, stop it, or choose another --out"
    if owner is not None and owner.host != Owner.me().host:
        way_out = f"wait for it; if it is gone, delete {path}"
    return f"part {shard} of {path.parent} is held by {who}: {way_out}"


def _write(file: IO[str], owner: Owner | None) -> None:
    file.seek(0)
    file.truncate()
    if owner is not None:
        file.write(json.dumps(asdict(owner)))
    file.flush()
