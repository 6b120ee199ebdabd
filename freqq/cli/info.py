"""``freqq info``: what is in the stream of a page."""

import json

import typer

from freqq.cli.decompress import File, read_stream
from freqq.cli.options import Json


def info(file: File, as_json: Json = False) -> None:
    """Say what a stream of a page holds, without decoding it. Its checksum is verified.

    Example: freqq info out/page.fqi
    """
    from freqq.cli.files_table import show_values
    from freqq.errors import UserError
    from freqq.image.streams import describe

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
