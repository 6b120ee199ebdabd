"""``freqq decompress`` and ``freqq info``: decode or describe the stream of a page."""

import json
from pathlib import Path
from typing import Annotated

import typer

from freqq.cli.command import argument
from freqq.cli.options import Json

File = Annotated[Path, argument("FILE.fqi", "The stream of a page.", show_default=False)]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE.png", help="By default next to the stream, with its name.")
]


def decompress(file: File, out: Out = None) -> None:
    """Decode a page from its stream, whatever codec wrote it.

    An existing file is only replaced if --out names it.

    Example: freqq decompress out/page.fqi -o page.png
    """
    from freqq.cli.outputs import OutputFolder
    from freqq.errors import UserError
    from freqq.image.files import png
    from freqq.image.streams import decode, read_stream

    if file.is_dir():
        raise UserError(f"{file} is a folder: give the stream of one page, a .fqi file")
    target = out or file.with_suffix(".png")
    if target.suffix.lower() != ".png":
        raise UserError(f"--out {target}: pages are written as PNG, so let the name end in .png")
    if target.is_dir():
        raise UserError(f"--out {target} is a folder: give a file name")
    if target.resolve() == file.resolve():
        raise UserError(f"{target} is the stream itself: choose another --out")
    if out is None and target.exists():
        raise UserError(f"{target} exists: choose a file with --out")
    stream = read_stream(file)
    folder = OutputFolder(target.parent)
    folder.check([], [])
    try:
        page = decode(stream)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    folder.write(target.name, png(page))
    typer.echo(target)


def info(file: File, as_json: Json = False) -> None:
    """Describe the stream of a page and verify its checksum, without decoding it.

    Example: freqq info out/page.fqi
    """
    from freqq.cli.printing import show_values
    from freqq.errors import UserError
    from freqq.image.streams import describe, read_stream

    stream = read_stream(file)
    try:
        found = describe(stream)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    rows = [(name.replace("_", " "), _shown(value)) for name, value in found.items()]
    show_values(str(file), rows, "the checksum is right; 'freqq decompress' makes an image of it")


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
