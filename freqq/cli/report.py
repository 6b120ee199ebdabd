"""``freqq report``: what runs show, as a page or a table."""

import os
from pathlib import Path
from typing import Annotated

import typer

FORMATS = ("html", "md", "csv", "json", "latex")
TABLES = ("md", "latex")
SUFFIXES = {".html": "html", ".htm": "html", ".md": "md", ".csv": "csv", ".json": "json", ".tex": "latex"}


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories.", show_default=False)],
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="F", help=f"{', '.join(FORMATS)}; by default what --out ends in, or html."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The file to write; by default report.html, or standard output for another format.",
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--columns",
            metavar="NAME,NAME",
            help="Columns of a table as md or latex, such as method,level,score,tokens; by default latex has those "
            "that fit into a paper's column. Can be repeated.",
        ),
    ] = None,
) -> None:
    """Report what runs show: each method against the baseline on the same samples.

    The page needs no network, and can be printed. Example: freqq report runs/a runs/b --out report.html
    """
    chosen, target = _chosen(format, out)
    if columns and chosen not in TABLES:
        from freqq.errors import UserError

        raise UserError(f"--columns is for the formats {' and '.join(TABLES)}, not {chosen}")

    from freqq.cli.progress import busy

    with busy("weighing what the runs show"):
        names = [name.strip() for given in columns or () for name in given.split(",")]
        text, notes = _page(runs) if chosen == "html" else _table(runs, chosen, names)
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    if target is None:
        typer.echo(text, nl=False)
    else:
        write(target, text)


def _page(runs: list[Path]) -> tuple[str, tuple[str, ...]]:
    # Read when numpy is loaded. A second thread gains nothing in products as small as these, and would wait in the core
    # on which the examples are made.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from freqq.report.html.examples import ExampleProcess

    with ExampleProcess() as process:
        from freqq.report.evidence import pairs, read_runs, weigh
        from freqq.report.html.page import html

        results, notes = read_runs(runs)
        process.ask(pairs(results))
        return html(weigh(results, notes), process.examples), tuple(notes)


def _table(runs: list[Path], format: str, columns: list[str]) -> tuple[str, tuple[str, ...]]:
    from freqq.report.evidence import read_runs, weigh
    from freqq.report.formats import write as written

    results, notes = read_runs(runs)
    return written(weigh(results, notes), format, columns), tuple(notes)


def _chosen(format: str | None, out: Path | None) -> tuple[str, Path | None]:
    """The format and the file, known to be writable, or None for standard output."""
    from freqq.errors import UserError
    from freqq.files import check_writable
    from freqq.names import unknown

    if format is not None and format not in FORMATS:
        raise unknown("format", format, FORMATS)
    if format is None and out is not None and out.suffix.lower() not in SUFFIXES:
        raise UserError(f"--out {out}: its name does not tell the format; give --format {', '.join(FORMATS)}")
    chosen = format or ("html" if out is None else SUFFIXES[out.suffix.lower()])
    target = Path("report.html") if out is None and chosen == "html" else out
    if target is not None:
        if target.is_dir():
            raise UserError(f"--out {target} is a folder: give a file name")
        check_writable(target.parent)
    return chosen, target


def write(path: Path, text: str) -> None:
    """Write a text whole or not at all, and say where it is."""
    from freqq.errors import UserError
    from freqq.files import write_whole

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    typer.echo(f"wrote {path}", err=True)
