"""``freqq codebook``: what vector-quantized streams are written with."""

from pathlib import Path
from typing import Annotated

import typer

from freqq.cli import options as o

app = typer.Typer(help="Codebooks of vector quantization.", no_args_is_help=True)

Texts = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="TEXT...",
        help="Texts or chats to render and learn from. Without any: what every Python brings along.",
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
    from freqq.data.load import load
    from freqq.data.pythontext import python_texts
    from freqq.data.sample import context
    from freqq.files import check_writable, write_whole
    from freqq.image.codebook_training import line_pitch, text_pages
    from freqq.image.codebook_training import train as learn
    from freqq.runs.rendering import Rendering

    looks = Rendering.read(config, font, dpi).config
    pitch = line_pitch(looks)
    check_writable(out.parent)
    given = (context(sample) for path in texts or () for sample in load(str(path)).samples())
    pages = text_pages(given if texts else python_texts(), looks)
    book = learn(counted(pages, None, "rendering"), pitch, width, size)
    write_whole(out, lambda path: path.write_bytes(book.file))
    kind = f"{len(book.patterns):,} patterns of {pitch} x {width} pixels"
    print(f"{out}: {kind}, {len(book.file):,} bytes, id {book.id.hex()}")


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
