"""``freqq codebook``: codebooks of vector quantization."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freqq.cli import options as o
from freqq.cli.command import argument, option, switch
from freqq.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from freqq.glm.reader import Reader
    from freqq.pages.glyph import GlyphConfig
    from freqq.pages.page import Page

app = typer.Typer(help="Train and list codebooks of vector quantization.", no_args_is_help=True)

Texts = Annotated[
    list[str] | None,
    argument(
        "TEXT", "Texts or chats to render and learn from, or mini: pages as an embedded model was trained on. "
        "By default the texts that come with Python, and random words.", show_default=False,
    ),
]  # fmt: skip
SIZE, WIDTH = 20480, 3
"""SIZE is `freqq.image.vq_training.SIZE`, which is too slow to import for a help text."""
PAGES, BATCH = 600, 16
DEFAULT = "codebook.safetensors"


@app.callback()
def codebook() -> None:
    """Commands about codebooks."""


@app.command()
def train(
    texts: Texts = None,
    out: Annotated[
        Path | None, option("--out", "FILE", f"The codebook; by default {DEFAULT}, which must not exist yet.")
    ] = None,
    config: o.Config = None,
    dpi: o.Dpi = None,
    font: o.Font = None,
    size: Annotated[int, option("--size", "N", "Most patterns.", min=2, max=65534)] = SIZE,
    width: Annotated[int, option("--width", "PX", "Width of a block in pixels.", min=1, max=64)] = WIDTH,
    tokens: Annotated[bool, switch("--tokens", "Learn from a model's vision tokens, for token-vq.")] = False,
    model: o.Model = "tiny",
    limit: Annotated[
        int | None,
        option("--limit", "N", f"Most pages to learn from; {PAGES} of mini, or with --tokens.", min=1),
    ] = None,
) -> None:
    """Learn a codebook for pages of one look (font, size and line height), or for the tokens of a model.

    Codebooks are searched in the folder that the environment variable FREQQ_CODEBOOKS names. For the tokens of an
    embedded model, the default pages are mini: those that it was trained on.

    Example: freqq codebook train --font Verdana.ttf --out codebooks/verdana.safetensors

    Example: freqq codebook train --tokens --out codebooks/tiny.safetensors
    """
    from freqq.cli.progress import counted_then
    from freqq.data.mini import PITCH
    from freqq.files import check_file, write_whole
    from freqq.glm.families import EMBEDDED
    from freqq.glm.train import corpus
    from freqq.glm.train.small import chats
    from freqq.image.vq_training import line_pitch
    from freqq.image.vq_training import train as learn

    if not tokens and model != "tiny":
        raise UserError(f"--model {model}: only the codebooks of tokens are a model's; add --tokens")
    if tokens and (size, width) != (SIZE, WIDTH):
        raise UserError("--size and --width are of blocks of pixels: leave them out with --tokens")
    mini = texts == ["mini"] or (tokens and model in EMBEDDED and not texts)
    if mini and (config, font, dpi) != (None, None, None):
        raise UserError("mini has a look of its own: leave --config, --font and --dpi out, or write ./mini for a file")
    if out is None and Path(DEFAULT).exists():
        raise UserError(f"{DEFAULT} exists: choose a file with --out")
    out = out or Path(DEFAULT)
    check_file(out)
    if tokens:
        limit = limit or PAGES
        made = (chats if model == "small" else corpus).training_pages()
        pages = made if mini else _rendered(texts, config, font, dpi)[0]
        _train_tokens(islice(pages, limit), model, limit, out)
        return
    if mini:
        pages, pitch, limit = corpus.training_pages(), Fraction(PITCH), limit or PAGES
    else:
        pages, looks = _rendered(texts, config, font, dpi)
        pitch = line_pitch(looks)
    with counted_then(limit, "rendering", "learning") as count:
        book = learn(count(islice(pages, limit)), pitch, width, size)
    write_whole(out, lambda path: path.write_bytes(book.file))
    kind = f"{len(book.patterns):,} patterns of {book.patterns.block[0]} x {width} pixels"
    print(f"{out}: {kind}, {len(book.file):,} bytes, id {book.id.hex()}")


def _rendered(
    texts: list[str] | None, config: str | None, font: str | None, dpi: float | None
) -> "tuple[Iterator[Page], GlyphConfig]":
    """The pages of texts, and their look."""
    from freqq.data.load import load
    from freqq.data.pythontext import python_texts
    from freqq.data.sample import context
    from freqq.image.vq_training import text_pages
    from freqq.runs.rendering import Rendering

    looks = Rendering.read(config, font, dpi).config
    given = (context(sample) for path in texts or () for sample in load(path).samples())
    return text_pages(given if texts else python_texts(), looks), looks


def _train_tokens(pages: "Iterable[Page]", model: str, limit: int, out: Path) -> None:
    """Write the codebook of the vision tokens of at most `limit` pages."""
    import torch

    from freqq.cli.progress import counted_then
    from freqq.files import write_whole
    from freqq.glm.load import load_reader
    from freqq.tokens.vq_training import train

    torch.set_num_threads(1)  # the last digits of sums depend on the number of threads, and so would the file
    reader = load_reader(model)
    with counted_then(limit, "reading", "learning") as count:
        book = train(_tokens(reader, count(pages)))
    write_whole(out, lambda path: path.write_bytes(book.file))
    kind = f"{len(book.arrays['frequencies']):,} words for {book.channels} channels of {reader.model_name}"
    print(f"{out}: {kind} at {reader.revision[:12]}, {len(book.file):,} bytes, id {book.id.hex()}")


def _tokens(reader: "Reader", pages: "Iterator[Page]") -> "Iterator[Tensor]":
    while batch := list(islice(pages, BATCH)):
        yield from reader.see(batch)


@app.command("list")
def show(as_json: o.Json = False) -> None:
    """List the codebooks of this machine, including those that were learned on first use.

    Example: freqq codebook list
    """
    from itertools import chain

    from freqq.cli.printing import print_json, show
    from freqq.image.codebooks import codebooks, learned_codebooks
    from freqq.tokens.codebooks import token_codebooks

    found = [
        (book.id.hex(), "{} x {} pixels".format(*book.patterns.block), len(book.patterns), len(book.file))
        for book in chain(codebooks(), learned_codebooks())
    ] + [
        (book.id.hex(), f"{book.channels} channels", len(book.arrays["frequencies"]), len(book.file))
        for book in token_codebooks()
    ]
    columns = ("id", "of", "patterns", "bytes")
    if as_json:
        print_json([dict(zip(columns, one, strict=True)) for one in found])
    else:
        rows = [(*one[:2], f"{one[2]:,}", f"{one[3]:,}") for one in found]
        show("Codebooks", columns, rows, "streams name their codebook by its id")
