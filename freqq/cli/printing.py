"""Standard output of commands: consoles, JSON and tables."""

import json
import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


def console_for(width: int, **options: Any) -> Console:
    """A console on standard output; `width` applies to files and pipes, which have none of their own."""
    console = Console(**options)
    if not console.is_terminal:
        console.width = width
    return console


def print_json(value: Any) -> None:
    """Print a value as JSON; infinity and NaN, which JSON lacks, become null."""
    typer.echo(json.dumps(_finite(value), indent=2, default=str))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str, last: Sequence[str] | None = None
) -> None:
    """Print a table (text in the first column, numbers in the others), a summary row, and a line below."""
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
    """Print a table of names and values; long values are wrapped."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what", no_wrap=True)
    table.add_column("value", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    _print(table, note)


def _print(table: Table, note: str) -> None:
    console = console_for(140)
    console.print(table, markup=False)
    console.print(note, soft_wrap=True, highlight=False, markup=False)


def mean(values: Sequence[float | None], form: str) -> str:
    """The mean of the known values, or a dash. If some are infinite, the mean of the others and their number."""
    known = [value for value in values if value is not None]
    finite = [value for value in known if math.isfinite(value)]
    if not known:
        return "-"
    if finite and len(finite) < len(known):
        return f"{format(fmean(finite), form)} ({len(finite)} of {len(known)})"
    return format(fmean(known), form)
