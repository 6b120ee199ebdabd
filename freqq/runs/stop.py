"""Stopping on request without losing work."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Ctrl-C; what ``kill`` and Slurm's time limit send; what ``sbatch --signal`` is told to send before that."""


class StopRequest:
    """While it is entered, `SIGNALS` only set ``requested``; a second Ctrl-C interrupts at once.

    Parameters
    ----------
    notify : callable
        Called when the first signal arrives.
    """

    def __init__(self, notify: Callable[[], None] = lambda: None) -> None:
        self.requested = False
        self._notify = notify
        self._before: dict[signal.Signals, object] = {}

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
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
