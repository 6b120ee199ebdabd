"""``freqq regrade``: grade the stored responses of a run again."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freqq.cli import options as o
from freqq.cli.command import argument

if TYPE_CHECKING:
    from freqq.runs.regrade import Regraded


def regrade(
    run: Annotated[Path, argument("RUN", "A run directory, of this or an older version.")],
    protocol: o.Protocol = None,
    as_json: o.Json = False,
) -> None:
    """Grade the stored responses of a run again, without a model, and show what changed.

    By default with the run's own protocol. Right answers are read from its data; stored responses do not change.

    Example: freqq regrade runs/glyph --protocol official
    """
    from freqq.cli.progress import counting
    from freqq.report.evidence import gather
    from freqq.report.formats import write_summary
    from freqq.runs.regrade import regrade as grade_again

    with counting("files graded") as report:
        done = grade_again(run, protocol, report)
        if done.whole:
            write_summary(run, gather([run]))
    if as_json:
        typer.echo(json.dumps(asdict(done), indent=2))
        return
    _print(done, run)


def _print(done: "Regraded", run: Path) -> None:
    from freqq.cli.printing import show
    from freqq.report.wording import fraction

    rows = [
        (
            ", ".join(dict.fromkeys((c.method, c.level))), str(c.needles), str(c.n), str(c.changed), fraction(c.before),
            fraction(c.after),
        )
        for c in done.changes
    ]  # fmt: skip
    count = sum(change.changed for change in done.changes)
    n = sum(change.n for change in done.changes)
    state = "results.parquet and summary.json are updated" if done.whole else "the unfinished run's parts are updated"
    columns = ("method, level", "needles", "n", "changed", "score before", "after")
    note = f"{count} of {n} scores changed under the protocol {done.protocol}; {state}"
    show(f"Scores of {run}, graded again", columns, rows, note)
