"""Progress and notes on standard error: bars in a terminal, occasional lines elsewhere."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    track,
)

from freqq.cli.dry_run import duration

if TYPE_CHECKING:
    from freqq.data.dataset import Skipped

T = TypeVar("T")

FIRST_LINE_S = 10.0
"""Without a terminal, shorter work prints no progress."""

LINE_SHARE = 0.1
"""A line of progress is due when the elapsed time has grown by this share, but at least by `FIRST_LINE_S`: the log of
hours of work has about a hundred lines."""

NAMED = 10
"""Most skipped files to name."""


class ProgressLines:
    """When the next line of progress is due, without a terminal.

    Parameters
    ----------
    clock : callable
        Seconds, from any zero.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock, self._began = clock, clock()
        self._next = self._began + FIRST_LINE_S

    def due(self) -> bool:
        """Whether to print a line now; True counts as printing it."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + max(FIRST_LINE_S, LINE_SHARE * (now - self._began))
        return True


class Pace:
    """Lines of progress with an estimate of the remaining time.

    Parameters
    ----------
    clock : callable
        Seconds, from any zero.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock, self._lines = clock, ProgressLines(clock)
        self._first: tuple[float, int] | None = None

    def line(self, what: str, done: int, total: int) -> str:
        """A line of progress if one is due, else empty. Work done before the first call does not count for the pace."""
        now = self._clock()
        if self._first is None:
            self._first = now, done
        began, before = self._first
        if not self._lines.due():
            return ""
        left = f", about {duration((now - began) / (done - before) * (total - done))} left" if done > before else ""
        return f"{what}: {done} of {total}{left}"


def each(things: Sequence[T], what: str) -> Iterator[T]:
    """Iterate over things and show how many are done."""
    yield from counted(things, len(things), what)


def counted(things: Iterable[T], total: int | None, what: str) -> Iterator[T]:
    """Like `each`, for any iterable: a bar, or lines if standard error is not a terminal."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    if console.is_terminal:
        yield from track(things, what, total=total, console=console, transient=True)
        return
    lines = ProgressLines()
    for done, thing in enumerate(things, 1):
        yield thing
        if lines.due():
            console.print(f"{what}: {done}" + ("" if total is None else f" of {total}"), markup=False)


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Like `counted`, for work that calls the yielded ``report(done, total)``."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
    task = bar.add_task(what, total=None)
    pace = Pace()

    def report(done: int, total: int) -> None:
        bar.start()  # not earlier: another bar may be showing the learning of a codebook
        bar.update(task, completed=done, total=total)
        line = pace.line(what, done, total)
        if not console.is_terminal and line:
            console.print(line, markup=False)

    try:
        yield report
    finally:
        bar.stop()


@contextmanager
def counted_then(total: int | None, what: str, then: str) -> Iterator[Callable[[Iterable[T]], Iterator[T]]]:
    """Like `counted`, for work that continues after the last thing; yields the function that counts."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    if not console.is_terminal:
        yield lambda things: counted(things, total, what)
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)

        def count(things: Iterable[T]) -> Iterator[T]:
            for thing in things:
                yield thing
                bar.advance(task)
            bar.reset(task, total=None, description=then)

        yield count


@contextmanager
def learning() -> Iterator[Callable[[Iterable[T]], Iterator[T]]]:
    """Show the progress of a codebook that is learned on first use."""
    with counted_then(None, "rendering pages to learn from", "learning a codebook") as count:
        yield count


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show a status line during work that cannot be counted."""
    console = Console(stderr=True)
    with console.status(what) if console.is_terminal else nullcontext():
        yield


def note(text: str) -> None:
    """Print a note of one line."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"note: {text}", markup=False)


def note_skipped(skipped: "Sequence[Skipped]") -> None:
    """Print which data files were skipped, and why."""
    for file in skipped[:NAMED]:
        note(f"skipped {file.reason}")
    if len(skipped) > NAMED:
        note(f"skipped {len(skipped) - NAMED} more files")
