"""Stopping on request without losing work."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from types import FrameType, TracebackType

from freqq.errors import FreqqError, Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Ctrl-C; what ``kill`` and Slurm's time limit send; what ``sbatch --signal`` is told to send before that."""

GRACE_S = 12.0
"""How long after a signal a process may be busy with one computation. Supervisors of such processes wait for longer."""

PATIENCE_S = 0.1

CUT_SHORT = (
    "error: stopped in the midst of a long computation; what was finished is stored: run the same command again\n"
)


class StopRequest:
    """While it is entered, `SIGNALS` only set ``requested``; a second Ctrl-C interrupts at once.

    Parameters
    ----------
    notify : callable
        Called when the first signal arrives.
    grace_s : float, optional
        The block has to be left so many seconds after a signal, or the process ends in the midst of it, with the exit
        code of `Interrupted`. It does so whatever its main thread does; only an interpreter that a person types into
        is never ended.
    words : str
        Said on standard error then.

    Attributes
    ----------
    finish : callable
        Called before that, from another thread, to store what is finished.
    grace_s : float or None
        May be set to None where something else sees to a timely end.
    """

    def __init__(
        self, notify: Callable[[], None] = lambda: None, grace_s: float | None = None, words: str = CUT_SHORT
    ) -> None:
        self.requested = False
        self.grace_s = None if hasattr(sys, "ps1") else grace_s
        self.finish: Callable[[], object] = lambda: None
        self._notify, self._words = notify, words
        self._before: dict[signal.Signals, object] = {}
        self._pipe: tuple[int, int] | None = None  # where Python writes signals, and where it did before
        self._left = threading.Event()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.requested:
            self.requested = True
            self._notify()

    def __enter__(self) -> "StopRequest":
        # Python lets only the main thread set handlers; elsewhere the host application owns the signals.
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._handle) for s in SIGNALS}
            if self.grace_s is not None:
                reading, writing = os.pipe()
                os.set_blocking(writing, False)
                self._pipe = writing, signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
                threading.Thread(target=self._watch, args=(reading,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        if self._pipe is not None:
            writing, before = self._pipe
            signal.set_wakeup_fd(before)
            os.close(writing)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _watch(self, reading: int) -> None:
        """Wait for a signal, then for the end of the block; handlers wait as long as the main thread computes."""
        # A thread begins with what was blocked when it was started, and maybe no other thread can take a signal.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        while numbers := os.read(reading, 64):
            if not set(SIGNALS).isdisjoint(numbers):
                began = monotonic()
                while not self._left.wait(PATIENCE_S):
                    if self.grace_s is not None and monotonic() - began > self.grace_s:
                        self._end()
        os.close(reading)

    def _end(self) -> None:
        code, text = Interrupted.exit_code, self._words
        try:
            self.finish()
        except FreqqError as error:
            code, text = error.exit_code, f"error: {error}\n"
        finally:
            with suppress(OSError):
                os.write(2, text.encode())
            os._exit(code)
