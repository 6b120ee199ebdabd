"""Tables of files that commands print."""

import math
from collections.abc import Sequence
from statistics import fmean

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


def show(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str, last: Sequence[str] | None = None
) -> None:
    """Print a table, whose first column is text and the others numbers, a row that sums it up, and a line under it."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", no_wrap=bool(i), overflow="fold")
    for row in rows:
        table.add_row(*row)
    if last is not None:
        table.add_section()
        table.add_row(*last)
    _print(table, note)


def show_values(title: str, rows: Sequence[tuple[str, str]], note: str) -> None:
    """Print names and what they are; what is too long for its line goes on in the next."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what", no_wrap=True)
    table.add_column("value", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    _print(table, note)


def _print(table: Table, note: str) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = 140  # a file or a pipe has no width of its own
    console.print(table, markup=False)
    console.print(note, soft_wrap=True, highlight=False, markup=False)


def mean(values: Sequence[float | None], form: str) -> str:
    """The mean of those values that are known, or a dash. Where only some are infinite, of the others, and how many."""
    known = [value for value in values if value is not None]
    finite = [value for value in known if math.isfinite(value)]
    if not known:
        return "-"
    if finite and len(finite) < len(known):
        return f"{format(fmean(finite), form)} ({len(finite)} of {len(known)})"
    return format(fmean(known), form)
