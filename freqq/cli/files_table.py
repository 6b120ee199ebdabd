"""The table of one row a file that a compressing command ends with."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> None:
    """Print a table, whose first column is text and the others numbers, and a line under it."""
    console = Console()
    if not console.is_terminal:
        console.width = 140  # a file or a pipe has no width of its own
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", no_wrap=bool(i), overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table, markup=False)
    console.print(note, soft_wrap=True, highlight=False, markup=False)
