"""Programs in a real terminal (a pseudo-terminal of a given size), for what they do there and nowhere else."""

import contextlib
import errno
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from time import monotonic

PATIENCE_S = 300.0
"""How long a program may say nothing; only a hanging test waits for it."""


class Terminal:
    """A program in a terminal; what it writes is read with `until` or `finish`."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        rows: int = 40,
        columns: int = 100,
        pixels: tuple[int, int] = (0, 0),
        cwd: str | None = None,
        only: str = "all",
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, *pixels))
        outputs = {"all": (theirs, theirs), "stdout": (theirs, subprocess.PIPE), "stderr": (subprocess.PIPE, theirs)}
        stdout, stderr = outputs[only]
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=stdout,
            stderr=stderr,
            env=dict(environment),
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_control,
        )
        os.close(theirs)
        self.seen = b""

    def type(self, keys: str) -> None:
        """Type some keys."""
        os.write(self._ours, keys.encode())

    def until(self, expected: bytes, patience: float = PATIENCE_S) -> bytes:
        """All that was written, once `expected` is in it."""
        end = monotonic() + patience
        while expected not in self.seen:
            left = end - monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"{expected!r} is not in {self.seen!r}")
        return self.seen

    def finish(self) -> tuple[int, bytes]:
        """The exit status, and all that was written to the terminal."""
        while self._read(PATIENCE_S):
            pass
        try:
            return self.process.wait(PATIENCE_S), self.seen
        finally:
            self.close()

    def close(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        with contextlib.suppress(OSError):
            os.close(self._ours)

    def _read(self, patience: float) -> bool:
        if not select.select([self._ours], [], [], patience)[0]:
            return False
        try:
            content = os.read(self._ours, 1 << 16)
        except OSError as error:
            if error.errno != errno.EIO:  # how Linux says that the other side is closed
                raise
            return False
        self.seen += content
        return bool(content)


def _control() -> None:
    """Make standard input the terminal that the new session is controlled by: shells want one."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def plain_environment(**more: str) -> dict[str, str]:
    """The environment without what tells of the terminal in which the tests run."""
    telling = (
        "TERM", "TERM_PROGRAM", "LC_TERMINAL", "KONSOLE_VERSION", "WT_SESSION", "TMUX", "NO_COLOR", "FORCE_COLOR",
        "CI", "GITHUB_ACTIONS", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE",
    )  # fmt: skip
    return {name: value for name, value in os.environ.items() if name not in telling} | more
