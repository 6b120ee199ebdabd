"""The tables that commands about files end with."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> None:
    """Print a table, whose first column is text and the others numbers, and a line under it."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", no_wrap=bool(i), overflow="fold")
    for row in rows:
        table.add_row(*row)
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
