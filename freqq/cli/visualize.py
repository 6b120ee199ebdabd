"""``freqq visualize``: figures of pages, of the effect of compression on them, and of data sets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freqq.cli import options as o
from freqq.cli.command import argument, option
from freqq.cli.compress_image import Block, Keep, codec_at
from freqq.cli.compress_tokens import Method, token_method
from freqq.cli.data import Limit, Name
from freqq.cli.figure_files import FORMATS, NamedOut, target_file, write_figure
from freqq.cli.visualize_runs import pareto, resolution, throughput
from freqq.levels import LEVELS
from freqq.names import several, single
from freqq.runs.options import overrides

if TYPE_CHECKING:
    from freqq.image.dct import BlockDct
    from freqq.pages.page import Page

app = typer.Typer(help="Draw what compression does to a page, or how long chats are.", no_args_is_help=True)

Image = Annotated[Path, argument("IMAGE", "An image file.", show_default=False)]
Out = Annotated[Path | None, option("--out", "FILE", FORMATS.format("; by default a PNG named after the image"))]
Keeps = Annotated[
    list[str] | None,
    option("--keep", "FRACTION,...", "Fractions of the coefficients to keep, in place of the levels.", o.METHODS),
]


@app.command()
def spectrum(image: Image, out: Out = None, level: o.OneLevel = o.MILD, keep: Keep = None, block: Block = None) -> None:
    """The average log-magnitude spectrum of an image's DCT blocks before and after, and the difference.

    Example: freqq visualize spectrum page.png --keep 0.5 --out spectrum.png
    """
    at = single("level", level)
    codec, target, page = _prepare(image, out, "spectrum", at, keep, block)

    from freqq.report import figures

    size = codec.block if codec else block or 14
    title = f"{image.name}: spectrum of blocks of {size} × {size} pixels, {_described(at, codec)}"
    write_figure(target, figures.spectrum(page, _after(page, codec), size, title))


@app.command()
def residual(image: Image, out: Out = None, level: o.OneLevel = o.MILD, keep: Keep = None, block: Block = None) -> None:
    """An image before and after, and the difference five times enlarged.

    Example: freqq visualize residual page.png --level aggressive --out residual.png
    """
    at = single("level", level)
    codec, target, page = _prepare(image, out, "residual", at, keep, block)

    from freqq.image.measures import psnr
    from freqq.report import figures

    after = _after(page, codec)
    title = f"{image.name}: {_described(at, codec)}, PSNR {psnr(page.pixels, after.pixels):.1f} dB"
    write_figure(target, figures.residual(page, after, title))


@app.command()
def compare(image: Image, out: Out = None, keep: Keeps = None, block: Block = None) -> None:
    """An image at all levels, or at some fractions, side by side, with the size of its stream and the PSNR.

    Example: freqq visualize compare page.png --keep 0.8 --keep 0.5 --out page.png
    """
    from freqq.runs.methods import parse

    fractions = [parse("keep", one, float) for one in several("keep", keep or ())]
    levels = [("", codec_at("mild", one, block)) for one in fractions if isinstance(one, float)]
    levels = levels or [(f"{level}, ", codec_at(level, block=block)) for level in LEVELS[1:]]
    target, page = _target_and_page(image, out, "compare")

    from freqq.report import figures

    panels = [figures.Panel.of(page, f"{name}keep {codec.keep:g}", codec) for name, codec in levels if codec]
    write_figure(target, figures.compare([figures.Panel.of(page), *panels], image.name))


@app.command()
def tokens(
    image: Image,
    out: Out = None,
    method: Method = ["prune"],  # noqa: B006
    level: o.OneLevel = o.MILD,
    keep: o.Keep = None,
    bits: o.Bits = None,
    assignments: o.Set = None,
    model: o.Model = "tiny",
    revision: o.Revision = None,
) -> None:
    """A page's vision tokens: energy by frequency, channel outliers, the cells that are kept, errors on the grid.

    Example: freqq visualize tokens page.png --method prune --keep 0.5 --out tokens.png
    """
    at = single("level", level)
    name, compressor = token_method(single("method", method), at, overrides(assignments, keep=keep, bits=bits))
    target, page = _target_and_page(image, out, "tokens")

    from freqq.glm.load import load_reader
    from freqq.report import token_pictures
    from freqq.tokens.grid import whole

    reader = load_reader(model, revision)
    [grid] = reader.see([page])
    compressed = whole(grid) if compressor is None else compressor.compress(grid)
    title = f"{image.name} as {reader.model_name} sees it, {name} at {at}"
    write_figure(target, token_pictures.tokens(page, grid, compressed, title))


@app.command()
def lengths(
    data: Name,
    out: NamedOut = Path("lengths.png"),
    look: o.Look = None,
    limit: Limit = None,
    skip_bad: o.SkipBad = False,
) -> None:
    """How long the chats of a data set and their messages are, as two histograms.

    Example: freqq visualize lengths mini --limit 100 --out lengths.png
    """
    from freqq.cli.progress import counted, note_skipped
    from freqq.data.describe import describe
    from freqq.data.load import load
    from freqq.errors import UserError
    from freqq.report import figures

    target = target_file(out)
    found = load(data, skip_bad, look)
    described = describe(found, limit, lambda samples: counted(samples, None, "reading"))
    if not described.message_characters:
        raise UserError(f"{data} has pages and no text: there are no lengths to draw")
    title = f"{Path(found.name).name}: how long its chats are"
    write_figure(target, figures.lengths(described.chat_characters, described.message_characters, title))
    note_skipped(found.skipped)


for _command in (pareto, resolution, throughput):
    app.command()(_command)


@app.command()
def pipeline(out: NamedOut = Path("pipeline.png")) -> None:
    """What data go through, where each method acts, and which rate is counted there.

    Example: freqq visualize pipeline --out -
    """
    target = target_file(out)

    from freqq.report.pipeline import pipeline as draw

    write_figure(target, draw())


def _prepare(
    image: Path, out: Path | None, kind: str, level: str, keep: float | None, block: int | None
) -> "tuple[BlockDct | None, Path, Page]":
    codec = codec_at(level, keep, block)
    return codec, *_target_and_page(image, out, kind)


def _target_and_page(image: Path, out: Path | None, kind: str) -> "tuple[Path, Page]":
    """The file to write, after checking that it can be written, and the page."""
    from freqq.errors import UserError
    from freqq.image.files import find_images, read_page

    if image.is_dir():
        raise UserError(f"{image} is a folder: give one image")
    target = target_file(out or Path(f"{image.stem}-{kind}.png"))
    if target.resolve() == image.resolve():
        raise UserError(f"--out {target} would overwrite the image: choose another name")
    return target, read_page(find_images([image])[0])


def _after(page: "Page", codec: "BlockDct | None") -> "Page":
    return page if codec is None else codec.decode(codec.encode(page))


def _described(level: str, codec: "BlockDct | None") -> str:
    return level if codec is None else f"{level}, keep {codec.keep:g}"
