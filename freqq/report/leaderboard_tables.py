"""A board as a table for a terminal, as wide as that is."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from freqq.report.comparison import Comparison
from freqq.report.formats import estimate, percent
from freqq.report.leaderboard import Board, Place

NUMBERS = ("n", "score", "retained", "images", "stored", "tokens")

DROPPED = ("retained", "n", "images")
"""What a narrow terminal does without, in this order: it stands in the report, or follows from the rest."""

UNBOUNDED = 10_000


def show(board: Board, console: Console) -> None:
    """Print a board. No name is ever cut.

    Runs are named in their column if there is room; else that holds numbers, and the names follow the table, each on a
    line of its own. Arms take two lines, and then columns are left out, where even that is too wide.
    """
    named = {runs: str(i + 1) for i, runs in enumerate(dict.fromkeys(p.runs for p in board.places))}
    full = {runs: _names(runs) for runs in named}
    choices = [
        *((runs, lines, NUMBERS) for runs in (full, named) for lines in (1, 2)),
        *((named, 2, tuple(n for n in NUMBERS if n not in DROPPED[: i + 1])) for i in range(len(DROPPED))),
    ]
    for runs, lines, columns in choices:
        table = _table(board.places, runs, lines, columns)
        if Measurement.get(console, console.options.update_width(UNBOUNDED), table).maximum <= console.width:
            break
    run = board.run
    title = f"{run.model} on {run.data} ({run.data_revision}), {board.needles} needles, {run.protocol}"
    console.print(title, style="bold", markup=False)
    console.print(table)
    for own, number in named.items() if runs is named else ():
        console.print(f"run {number}: {_names(own)}", markup=False, soft_wrap=True)
    console.print()


def _table(places: Sequence[Place], runs: dict[tuple[str, ...], str], lines: int, columns: Sequence[str]) -> Table:
    table = Table(pad_edge=False, padding=(0, 1, 0, 0), show_edge=False, box=box.SIMPLE_HEAD)
    for name in ("", "arm", "run", *columns):
        table.add_column(name, justify="left" if name in ("arm", "run") else "right", no_wrap=True)
    for place in places:
        c = place.comparison
        arm = c.arm if c.is_plain or lines == 1 else f"{c.method}\n{c.level}"
        cells = _cells(c)
        rank = f"{place.rank}{'=' if place.tied else ' '}"
        table.add_row(rank, escape(arm), escape(runs[place.runs]), *(escape(cells[name]) for name in columns))
    return table


def _cells(c: Comparison) -> dict[str, str]:
    return {
        "n": str(c.n),
        "score": estimate(c.score),
        "retained": "-" if c.retention is None else percent(c.retention.mean),
        "images": percent(c.rates["image_bytes"]),
        "stored": percent(c.rates["token_bytes"]),
        "tokens": percent(c.rates["tokens"]),
    }


def _names(runs: Sequence[str]) -> str:
    return runs[0] + (f" (+{len(runs) - 1})" if len(runs) > 1 else "")
