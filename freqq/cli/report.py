"""``freqq report``: what runs show, as a page or a table."""

from pathlib import Path
from typing import Annotated

import typer

FORMATS = ("md", "csv", "json", "latex")
SUFFIXES = {".md": "md", ".csv": "csv", ".json": "json", ".tex": "latex"}


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories.", show_default=False)],
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="F", help=f"{', '.join(FORMATS)}; by default what --out ends in, or md."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The file to write; standard output by default.")
    ] = None,
) -> None:
    """Report what runs show: each method against no compression on the same samples.

    Example: freqq report runs/a runs/b --format latex --out table.tex
    """
    from freqq.names import unknown
    from freqq.report.evidence import gather
    from freqq.report.formats import FORMATS as WRITERS

    chosen = format or ("md" if out is None else SUFFIXES.get(out.suffix.lower(), "md"))
    if chosen not in FORMATS:
        raise unknown("format", chosen, FORMATS)
    text = WRITERS[chosen](gather(runs))
    if out is None:
        typer.echo(text, nl=False)
    else:
        write(out, text)


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
