"""``freqq report``: the results of runs as a page or a table."""

from pathlib import Path
from typing import Annotated

import typer

from freqq.cli.command import argument, option
from freqq.files import check_writable, write_output
from freqq.names import several


def report(
    runs: Annotated[list[Path], argument("RUN", "Run directories.", show_default=False)],
    format: Annotated[
        str | None,
        option("--format", "NAME", "html, md, csv, json or latex; by default what --out ends in, or html."),
    ] = None,
    out: Annotated[
        Path | None,
        option("--out", "FILE", "By default report.html, or standard output for another format."),
    ] = None,
    columns: Annotated[
        list[str] | None,
        option(
            "--columns",
            "NAME,...",
            "Columns of a table as md or latex, such as method,level,score,tokens; by default "
            "latex has those that fit the column of a paper.",
        ),
    ] = None,
) -> None:
    """Report the results of runs: each method against the baseline on the same samples.

    The page needs no network and can be printed.

    Example: freqq report runs/a runs/b --out report.html
    """
    from freqq.report.evaluation import document, format_of

    chosen = format_of(format, out, columns or ())
    target = Path("report.html") if out is None and chosen == "html" else out
    if target is not None:
        check_writable(target.parent)

    from freqq.cli.progress import busy

    with busy("comparing the runs"):
        text, notes = document(runs, chosen, several("columns", columns or ()), spawn=True)
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    if target is None:
        typer.echo(text, nl=False)
    else:
        write_output(target, text.encode())
        typer.echo(f"wrote {target}", err=True)
