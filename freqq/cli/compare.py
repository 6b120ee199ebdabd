"""``freqq compare``: several runs side by side, joined by sample."""

from pathlib import Path
from typing import Annotated

import typer

from freqq.cli.command import argument, option
from freqq.cli.options import Json


def compare(
    runs: Annotated[list[Path], argument("RUN", "Run directories.", show_default=False)],
    reference: Annotated[
        str | None,
        option(
            "--reference",
            "ARM",
            "What the others are compared with: METHOD/LEVEL or baseline of the first run, "
            "RUN:METHOD/LEVEL, or RUN for its baseline; by default the first baseline.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare the arms of several runs on the samples that they share.

    Runs with another model, data revision, rendering or protocol are listed separately and never paired.

    Example: freqq compare runs/plain runs/tokens --reference token/mild
    """
    from freqq.cli.printing import console_for
    from freqq.cli.progress import busy, note
    from freqq.report.evidence import join
    from freqq.report.formats import as_json as json_of
    from freqq.report.tables import comparison_tables

    with busy("joining the runs"):
        found = join(runs, reference)
    if as_json:
        typer.echo(json_of(found), nl=False)
        return
    console = console_for(100, highlight=False)
    for table in comparison_tables(found, console.width):
        console.print(table, soft_wrap=isinstance(table, str))
    console.print(found.headline, markup=False, soft_wrap=True)
    for warning in found.warnings:
        note(warning)
