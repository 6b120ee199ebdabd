"""``freqq slurm-status``: the progress of a submitted run."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freqq.cli.command import argument
from freqq.cli.options import Json

if TYPE_CHECKING:
    from freqq.slurm.status import Status, Task


def slurm_status(
    run: Annotated[Path, argument("RUN", "The run directory of a submission.")],
    as_json: Json = False,
) -> None:
    """Show the state, rows and last error of each shard of a submitted run, and of its merge.

    States come from squeue, then sacct; for jobs that neither knows, from the logs.

    Example: freqq slurm-status runs/glyph
    """
    from freqq.slurm.status import status
    from freqq.slurm.submit import need

    need("squeue")
    found = status(run.resolve())
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
    else:
        _show(found)


def _show(found: "Status") -> None:
    from rich import box
    from rich.table import Table

    from freqq.cli.printing import console_for

    console = console_for(140, highlight=False, markup=False)
    table = Table(title=str(found.run), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("shard", "job", "state", "why", "node"):
        table.add_column(name, overflow="fold")
    for name in ("restarts", "rows", "failed"):
        table.add_column(name, justify="right")
    planned = [str(n) for n in found.planned] if found.planned else ["?"] * len(found.shards)
    for i, (task, rows, of) in enumerate(zip(found.shards, found.rows, planned, strict=True)):
        table.add_row(str(i), *_job(task), f"{rows.stored} of {of}", str(rows.failed))
    total = f"{found.total.stored} of {sum(found.planned) if found.planned else '?'}"
    table.add_row("merge", *_job(found.merge), total, str(found.total.failed))
    console.print(table)
    lines = [f"shard {i}: {task.error}" for i, task in enumerate(found.shards) if task.error]
    lines += [f"shard {i}: a sample failed with: {rows.error}" for i, rows in enumerate(found.rows) if rows.error]
    lines += [f"merge: {found.merge.error}"] if found.merge.error else []
    others = found.total.stored - sum(rows.stored for rows in found.rows)
    if others:
        lines.append(f"{others} rows are from an earlier submission with another number of shards")
    if found.problem:
        lines.append(f"Slurm could not be asked ({found.problem}): all of this is from the logs")
    elif found.stuck:
        lines.append("the run will not finish by itself; finished answers are kept. Submit it again:")
        lines.append(f"  cd {found.submission.folder} && {found.submission.command}")
    for line in lines:
        console.print(line, soft_wrap=True)


def _job(task: "Task") -> tuple[str, str, str, str, str]:
    state = task.state
    return task.job, state.name, state.reason, state.node, str(state.restarts)
