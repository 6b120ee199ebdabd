"""``freqq eval``: the same samples with and without compression, then a table."""

import json
from typing import TYPE_CHECKING, Any

import typer

from freqq.cli import options as o
from freqq.cli.command import from_options
from freqq.runs.options import EvalOptions

if TYPE_CHECKING:
    from pathlib import Path


@from_options(EvalOptions, vars(o))
def evaluate(options: EvalOptions, dry_run: o.DryRun = False, as_json: o.Json = False) -> None:
    """Score a model on chats that it reads as page images, with and without compression, on the same samples.

    Running the same command again goes on where it stopped, and with a larger --limit adds to what is there. --dry-run
    counts what it would do, and says what cannot work, without loading the model.

    Example: freqq eval --method token --needle 2 --level ultra_mild

    Example: freqq eval --method token-prune --level all --dry-run
    """
    from freqq.runs.checkup import check_packages

    check_packages()

    settings, part, machine = options.settings(), options.part(), options.machine()
    if dry_run:
        from freqq.cli.dry_run import show_forecast
        from freqq.runs.forecast import forecast

        show_forecast(forecast(settings, options.folder(), machine, shard=part), as_json)
        return

    from freqq.cli.progress import counting, learning
    from freqq.runs.run import run  # imports torch, which takes seconds: only after the options are checked

    with counting("answers") as report:
        path = run(
            settings,
            options.folder(),
            machine=machine,
            shard=part,
            retry_failed=options.retry_failed,
            progress=report,
            note=_note,
            watch=learning,
        )
    if part is None:
        show(path, as_json)
    else:
        _note(f"part {part} is in {path}; when all {part.count} are: freqq runs merge {path}")


def show(path: "Path", as_json: bool, width: int = 120) -> None:
    """Write a run's summary and print it as tables or JSON; `width` is that of the tables in a file or a pipe."""
    from freqq.cli.printing import console_for
    from freqq.cli.progress import note_skipped
    from freqq.data.dataset import Skipped
    from freqq.report.evidence import gather
    from freqq.report.formats import write_summary
    from freqq.report.tables import result_tables
    from freqq.runs.directory import RunDirectory

    evidence = gather([path])
    summary = write_summary(path, evidence)
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
    else:
        console = console_for(width)
        for table in result_tables(evidence, console.width):
            console.print(table, soft_wrap=isinstance(table, str), highlight=False if isinstance(table, str) else None)
        console.print(
            f"rows, run.json and summary.json are in {path}; as a page: freqq report {path}",
            markup=False,
            soft_wrap=True,
            highlight=False,
        )
    _warn_of_failures(summary)
    note_skipped([Skipped(**file) for file in RunDirectory(path).plan().get("skipped", ())])


def _warn_of_failures(summary: dict[str, Any]) -> None:
    failed = [g for g in summary["groups"] if g["n_failed"]]
    if failed:
        count = sum(g["n_failed"] for g in failed)
        _note(f"{count} answers failed and are left out of all means; the first error is {failed[0]['first_error']}")


def _note(text: str) -> None:
    from rich.console import Console

    Console(stderr=True, soft_wrap=True, highlight=False).print(text, markup=False)
