"""Standard output of commands: consoles, JSON and tables."""

import json
import math
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

UNBOUNDED = 10_000
"""Columns of a terminal in which no table has to wrap."""


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
    """Print a table (text in the first column, numbers in the others), a summary row, and a line above and below; an
    empty one is left out."""
    console = console_for(140)
    if title:
        console.print(title, style="italic", soft_wrap=True, highlight=False, markup=False)
    for table in fitting(columns, rows, last, console.width):
        console.print(table, markup=False)
    if note:
        console.print(note, soft_wrap=True, highlight=False, markup=False)


def fitting(
    columns: Sequence[str], rows: Sequence[Sequence[str]], last: Sequence[str] | None, width: int
) -> Iterator[Table]:
    """A table no wider than `width`; if numbers would be cut, several that share its columns and repeat the first."""
    endless, left = Console(width=UNBOUNDED), list(range(1, len(columns)))
    while left:
        count = len(left)
        while True:
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
            table.add_column(columns[0], overflow="fold", max_width=width // 3)
            for i in left[:count]:
                table.add_column(columns[i], justify="right", no_wrap=True)
            for row in [*rows, *([last] if last is not None else [])]:
                if row is last:
                    table.add_section()
                table.add_row(*(Text(row[i]) for i in (0, *left[:count])))
            if count == 1 or Measurement.get(endless, endless.options, table).maximum <= width:
                break
            count -= 1
        yield table
        left = left[count:]


def show_values(title: str, rows: Sequence[tuple[str, str]], note: str) -> None:
    """Print a table of names and values; long values are wrapped."""
    table = Table(title=Text(title, "table.title"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what", no_wrap=True)
    table.add_column("value", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
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
