"""Figures as files: by their names' endings, to a pipe, or in the terminal."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freqq.cli.command import option

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = "The PNG, PDF or SVG to write, by its ending{}. -: show it in the terminal, or write it to a pipe."
NamedOut = Annotated[Path, option("--out", "FILE", FORMATS.format(""))]
STANDARD_OUTPUT = Path("-")
ENDINGS = (".png", ".pdf", ".svg")


def target_file(target: Path) -> Path:
    """The file to write or ``-``, after checking that it can be written or shown."""
    from freqq.cli.outputs import OutputFolder
    from freqq.errors import UserError

    if target == STANDARD_OUTPUT:
        if sys.stdout.isatty():
            from freqq.report.terminal_pictures import check_protocol

            check_protocol(os.environ)
        return target
    if target.suffix.lower() not in ENDINGS:
        raise UserError(f"--out {target}: let the name end in {', '.join(ENDINGS)}, which sets the format")
    if target.is_dir():
        raise UserError(f"--out {target} is a folder: give a file name")
    OutputFolder(target.parent).check([], [])
    return target


def write_figure(target: Path, figure: "Figure", quiet: bool = False) -> None:
    """Write a figure to what `target_file` returned, and print where it is unless `quiet`."""
    from freqq.cli.outputs import OutputFolder
    from freqq.report.figures import rendered

    content = rendered(figure, "png" if target == STANDARD_OUTPUT else target.suffix[1:].lower())
    if target == STANDARD_OUTPUT:
        if sys.stdout.isatty():
            from freqq.report.terminal_pictures import check_protocol, escapes, width_px

            content = escapes(content, check_protocol(os.environ), width_px(sys.stdout.fileno()))
        typer.echo(content, nl=False)
        return
    OutputFolder(target.parent).write(target.name, content)
    if not quiet:
        typer.echo(target)
