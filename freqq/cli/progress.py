"""What a command says beside its result, on standard error: progress bars, if that is a terminal, and notes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import Progress, track

if TYPE_CHECKING:
    from freqq.data.dataset import Skipped

T = TypeVar("T")

NAMED = 10
"""Skipped files that are named one by one."""


def each(things: Sequence[T], what: str) -> Iterator[T]:
    """The things in order; shows how many are done."""
    console = Console(stderr=True)
    yield from track(things, what, console=console, disable=not console.is_terminal, transient=True)


def counted(things: Iterable[T], total: int | None, what: str) -> Iterator[T]:
    """As `each`, for things that are still being made."""
    console = Console(stderr=True)
    yield from track(things, what, total=total, console=console, disable=not console.is_terminal, transient=True)


@contextmanager
def counted_then(total: int | None, what: str, then: str) -> Iterator[Callable[[Iterable[T]], Iterator[T]]]:
    """As `counted`, for work that goes on when there are no more things: gives what counts them."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)

        def count(things: Iterable[T]) -> Iterator[T]:
            for thing in things:
                yield thing
                bar.advance(task)
            bar.reset(task, total=None, description=then)

        yield count


@contextmanager
def learning() -> Iterator[Callable[[Iterable[T]], Iterator[T]]]:
    """How far a codebook is that is learned on first use."""
    with counted_then(None, "rendering pages to learn from", "learning a codebook") as count:
        yield count


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Says what takes so long, for work that cannot be counted."""
    console = Console(stderr=True)
    with console.status(what) if console.is_terminal else nullcontext():
        yield


def note(text: str) -> None:
    """Says, in one line, what the result does not tell."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"note: {text}", markup=False)


def note_skipped(skipped: "Sequence[Skipped]") -> None:
    """Say which files of the data were left out, and why."""
    for file in skipped[:NAMED]:
        note(f"skipped {file.reason}")
    if len(skipped) > NAMED:
        note(f"skipped {len(skipped) - NAMED} more files")
