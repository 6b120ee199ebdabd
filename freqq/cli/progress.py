"""Progress and notes on standard error: bars in a terminal, now and then a line elsewhere."""

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
"""Work that takes no longer says nothing where there is no terminal."""

LINE_SHARE = 0.1
"""A line of progress is due when the work has taken this much longer than at the last one, but at least
`FIRST_LINE_S`: a log of hours has some hundred lines."""

NAMED = 10
"""Skipped files that are named one by one."""


class ProgressLines:
    """When the next line of progress is due, where there is no terminal to draw a bar on.

    Parameters
    ----------
    clock : callable
        Seconds, from any zero.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock, self._began = clock, clock()
        self._next = self._began + FIRST_LINE_S

    def due(self) -> bool:
        """Whether to print one now; that it was asked counts as printing it."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + max(FIRST_LINE_S, LINE_SHARE * (now - self._began))
        return True


class Pace:
    """Lines of progress that tell how long the rest takes, by how long what was done here took.

    Parameters
    ----------
    clock : callable
        Seconds, from any zero.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock, self._lines = clock, ProgressLines(clock)
        self._first: tuple[float, int] | None = None

    def line(self, what: str, done: int, total: int) -> str:
        """How far the work is, if it is time to say so; else nothing. What was there at the first call took no time."""
        now = self._clock()
        if self._first is None:
            self._first = now, done
        began, before = self._first
        if not self._lines.due():
            return ""
        left = f", about {duration((now - began) / (done - before) * (total - done))} left" if done > before else ""
        return f"{what}: {done} of {total}{left}"


def each(things: Sequence[T], what: str) -> Iterator[T]:
    """The things in order; shows how many are done."""
    yield from counted(things, len(things), what)


def counted(things: Iterable[T], total: int | None, what: str) -> Iterator[T]:
    """As `each`, for things that are still being made: a bar, or lines where standard error is no terminal."""
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
    """As `counted`, for work that tells how far it is: gives what is told the things done and all of them."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
    task = bar.add_task(what, total=None)
    pace = Pace()

    def report(done: int, total: int) -> None:
        bar.start()  # not before: until then another bar may show how far a codebook is
        bar.update(task, completed=done, total=total)
        said = pace.line(what, done, total)
        if not console.is_terminal and said:
            console.print(said, markup=False)

    try:
        yield report
    finally:
        bar.stop()


@contextmanager
def counted_then(total: int | None, what: str, then: str) -> Iterator[Callable[[Iterable[T]], Iterator[T]]]:
    """As `counted`, for work that goes on when there are no more things: gives what counts them."""
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
