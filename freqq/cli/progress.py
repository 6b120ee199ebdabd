"""A progress bar for a list of things, on standard error, if that is a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def each(things: Sequence[T], what: str) -> Iterator[T]:
    """The things in order; shows how many are done."""
    console = Console(stderr=True)
    yield from track(things, what, console=console, disable=not console.is_terminal, transient=True)


def counted(things: Iterable[T], total: int | None, what: str) -> Iterator[T]:
    """As `each`, for things that are still being made."""
    console = Console(stderr=True)
    yield from track(things, what, total=total, console=console, disable=not console.is_terminal, transient=True)
