"""``freqq runs``: what can be done with run directories."""

from pathlib import Path
from typing import Annotated

import typer

from freqq.cli.options import Json

app = typer.Typer(help="Work with run directories.", no_args_is_help=True)


@app.callback()
def runs() -> None:
    """Keep ``merge`` a subcommand while it is the only one."""


@app.command()
def merge(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory whose parts are all there.")],
    as_json: Json = False,
) -> None:
    """Put the parts of a sharded run together, check that every planned answer is there once, and show the table."""
    from freqq.cli.eval import show
    from freqq.runs.run import merge as merge_parts

    show(run, merge_parts(run), as_json)
