"""``freqq runs``: work with run directories."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freqq.cli.command import argument
from freqq.cli.options import Json

if TYPE_CHECKING:
    from freqq.runs.status import Status

app = typer.Typer(help="List, show, merge and verify run directories.", no_args_is_help=True)

Run = Annotated[Path, argument("RUN", "A run directory.")]


@app.command("list")
def list_(
    folder: Annotated[Path, argument("DIR", "The folder that contains the run directories.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List the run directories of a folder: what was asked, and how far they are.

    Example: freqq runs list
    """
    from rich.markup import escape
    from rich.table import Table

    from freqq.cli.printing import console_for
    from freqq.cli.progress import note
    from freqq.errors import FreqqError
    from freqq.runs.status import find_runs, status

    found: list[Status] = []
    for path in find_runs(folder):
        try:
            found.append(status(path))
        except FreqqError as error:
            note(f"left out: {error}")
    if as_json:
        typer.echo(json.dumps([one.as_json() for one in found], indent=2))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("run", "data", "model", "methods"):
        table.add_column(name, overflow="fold")
    for name in ("answers", "failed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", overflow="fold")
    for one in found:
        name = str(one.path.relative_to(folder)) if one.path != folder else one.path.name
        names = (name, Path(one.data).name, Path(one.model).name, ", ".join(one.methods))
        table.add_row(*map(escape, names), f"{one.stored}/{one.planned}", str(one.failed), escape(one.state))
    console_for(80).print(table)


@app.command()
def show(run: Run, as_json: Json = False) -> None:
    """Show a run's tables, or how far it is while its parts are not merged.

    Example: freqq runs show runs/glyph
    """
    from freqq.cli.eval import show as show_tables
    from freqq.runs.status import status

    found = status(run)
    if found.merged:
        show_tables(run, as_json, width=80)
    elif as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
    else:
        typer.echo(f"{run}: {_answers(found)} answers, {found.state}")


@app.command()
def merge(run: Run, as_json: Json = False) -> None:
    """Merge the parts of a sharded run, check that every planned answer is there once, and show the tables.

    Example: freqq runs merge runs/glyph
    """
    from freqq.cli.eval import show as show_tables
    from freqq.cli.progress import busy, note
    from freqq.runs.merge import merge as merge_parts

    with busy("putting the parts together"):
        merge_parts(run, note)
    show_tables(run, as_json)


@app.command()
def verify(run: Run, as_json: Json = False) -> None:
    """Check that every planned answer is there, and the hashes and columns of all rows.

    Answers that differ from another to the same question pass once a merge has put them aside. Exits with 1 if
    anything is wrong.

    Example: freqq runs verify runs/glyph
    """
    from freqq.cli.printing import console_for
    from freqq.cli.progress import busy
    from freqq.errors import FreqqError
    from freqq.runs.verify import verify as findings

    with busy("checking every row"):
        found = findings(run)
    if as_json:
        typer.echo(json.dumps([{"passed": f.passed, "text": f.text} for f in found], indent=2))
    else:
        for finding in found:
            console_for(160).print(
                f"{'ok  ' if finding.passed else 'BAD '} {finding.text}", markup=False, highlight=False, soft_wrap=True
            )
    if wrong := sum(not finding.passed for finding in found):
        raise FreqqError(f"{wrong} of {len(found)} checks of {run} failed")


def _answers(found: "Status") -> str:
    return f"{found.stored} of {found.planned}" + (f" ({found.failed} failed)" if found.failed else "")
