"""``freqq codebook``: what vector-quantized streams are written with."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freqq.cli import options as o
from freqq.errors import UserError

if TYPE_CHECKING:
    from freqq.pages.page import Page

app = typer.Typer(help="Codebooks of vector quantization.", no_args_is_help=True)

Texts = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TEXT...",
        help="Texts or chats to render and learn from, or mini: the training of the built-in data, in its look. "
        "Without any: what every Python brings along, and invented words.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="The codebook, a .safetensors file.")]
Size = Annotated[int, typer.Option(min=2, max=65534, help="Most patterns.")]
Width = Annotated[int, typer.Option(min=1, max=64, help="Width of a block in pixels.")]


@app.callback()
def codebook() -> None:
    """Commands about codebooks."""


@app.command()
def train(
    texts: Texts = None,
    out: Out = Path("codebook.safetensors"),
    config: o.Config = None,
    dpi: o.Dpi = None,
    font: o.Font = None,
    size: Size = 20480,
    width: Width = 3,
) -> None:
    """Learn a codebook for one look of pages: its font, size and line height.

    The file is found by codecs in the folder that the environment variable FREQQ_CODEBOOKS names.

    Example: freqq codebook train --font Verdana.ttf --out codebooks/verdana.safetensors
    """
    from freqq.cli.progress import counted
    from freqq.files import check_writable, write_whole
    from freqq.image.codebook_training import train as learn

    check_writable(out.parent)
    pages, pitch = _mini(config, font, dpi) if texts == ["mini"] else _rendered(texts, config, font, dpi)
    book = learn(counted(pages, None, "rendering"), pitch, width, size)
    write_whole(out, lambda path: path.write_bytes(book.file))
    kind = f"{len(book.patterns):,} patterns of {pitch} x {width} pixels"
    print(f"{out}: {kind}, {len(book.file):,} bytes, id {book.id.hex()}")


def _mini(*look: object) -> "tuple[Iterator[Page], int]":
    """The pages of `mini`'s training, and how far their lines are apart."""
    from freqq.data.mini import PITCH
    from freqq.image.codebook_training import mini_pages

    if any(given is not None for given in look):
        raise UserError("mini has a look of its own: leave --config, --font and --dpi out, or write ./mini for a file")
    return mini_pages(), PITCH


def _rendered(
    texts: list[str] | None, config: str | None, font: str | None, dpi: float | None
) -> "tuple[Iterator[Page], int]":
    """The pages of texts in a look, and how far their lines are apart."""
    from freqq.data.load import load
    from freqq.data.pythontext import python_texts
    from freqq.data.sample import context
    from freqq.image.codebook_training import line_pitch, text_pages
    from freqq.runs.rendering import Rendering

    looks = Rendering.read(config, font, dpi).config
    pitch = line_pitch(looks)
    given = (context(sample) for path in texts or () for sample in load(path).samples())
    return text_pages(given if texts else python_texts(), looks), pitch


@app.command("list")
def show() -> None:
    """Which codebooks are found."""
    from freqq.cli.files_table import show
    from freqq.image.codebooks import codebooks

    rows = [
        (book.id.hex(), "{} x {}".format(*book.patterns.block), f"{len(book.patterns):,}", f"{len(book.file):,}")
        for book in codebooks()
    ]
    show("Codebooks", ("id", "block", "patterns", "bytes"), rows, "streams name their codebook by its id")
