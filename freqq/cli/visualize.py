"""``freqq visualize``: figures of pages, of the effect of compression on them, and of data sets."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freqq.cli import options as o
from freqq.cli.command import option
from freqq.cli.compress_image import Block, Keep, codec_at
from freqq.cli.compress_tokens import Method, token_method
from freqq.levels import LEVELS
from freqq.names import several, single
from freqq.runs.options import overrides

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from freqq.image.dct import BlockDct
    from freqq.pages.page import Page

app = typer.Typer(help="Draw what compression does to a page, or how long chats are.", no_args_is_help=True)

Image = Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.", show_default=False)]
FORMATS = "The PNG, PDF or SVG to write, by its ending{}. -: show it in the terminal, or write it to a pipe."
Out = Annotated[Path | None, option("--out", "FILE", FORMATS.format("; by default a PNG named after the image"))]
NamedOut = Annotated[Path, option("--out", "FILE", FORMATS.format(""))]
Keeps = Annotated[
    list[str] | None,
    option("--keep", "FRACTION,...", "Fractions of the coefficients to keep, in place of the levels.", o.METHODS),
]
STANDARD_OUTPUT = Path("-")
ENDINGS = (".png", ".pdf", ".svg")


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
    _write(target, figures.spectrum(page, _after(page, codec), size, title))


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
    _write(target, figures.residual(page, after, title))


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
    _write(target, figures.compare([figures.Panel.of(page), *panels], image.name))


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
    _write(target, token_pictures.tokens(page, grid, compressed, title))


@app.command()
def lengths(
    data: Annotated[
        str, typer.Argument(metavar="NAME|PATH", help="mini, mrcr, or a file or folder.", show_default=False)
    ],
    out: NamedOut = Path("lengths.png"),
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The first N samples of each needle count.")
    ] = None,
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

    target = _target(out)
    found = load(data, skip_bad)
    described = describe(found, limit, lambda samples: counted(samples, None, "reading"))
    if not described.message_characters:
        raise UserError(f"{data} has pages and no text: there are no lengths to draw")
    title = f"{Path(found.name).name}: how long its chats are"
    _write(target, figures.lengths(described.chat_characters, described.message_characters, title))
    note_skipped(found.skipped)


@app.command()
def pareto(
    tables: Annotated[
        list[Path],
        typer.Argument(
            metavar="TABLE.parquet...",
            help="pages.parquet of 'freqq compress-image --ocr', a run directory or its results.parquet, or several.",
            show_default=False,
        ),
    ],
    out: NamedOut = Path("pareto.png"),
) -> None:
    """Legibility and score against bytes, of all codecs and levels in some tables.

    Example: freqq visualize pareto compressed/pages.parquet runs/one/results.parquet --out pareto.png
    """
    from freqq.errors import UserError
    from freqq.image.batch import read_rows
    from freqq.report import pareto as figure
    from freqq.runs.directory import RESULTS

    target = _target(out)
    legibility, scores = [], []
    for table in tables:
        if not (table.is_file() or (table / RESULTS).is_file()):
            raise UserError(f"there is no file {table}")
        rows = read_rows(table / RESULTS if table.is_dir() else table)
        legibility += [row for row in rows if "cer" in row and "codec" in row]
        scores += [row for row in rows if "score" in row]
    points = figure.legibility_points(legibility), figure.score_points(scores)
    if not any(points):
        raise UserError("these tables have neither legibility (compress-image --ocr) nor scores of a run")
    _write(target, figure.pareto(*points, "What a page's bytes buy"))


@app.command()
def throughput(
    bench: Annotated[
        Path, typer.Argument(metavar="BENCH.parquet", help="What 'freqq bench --out' wrote.", show_default=False)
    ],
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A run directory with the scores of the same methods.", show_default=False),
    ],
    out: NamedOut = Path("throughput.png"),
) -> None:
    """Score against throughput of the methods that were both measured by 'freqq bench' and scored by 'freqq eval'.

    Example: freqq visualize throughput bench.parquet runs/one --out throughput.png
    """
    from freqq.bench import figure
    from freqq.errors import UserError
    from freqq.image.batch import read_rows
    from freqq.report.statistics import mean_estimate
    from freqq.runs.directory import RESULTS

    target = _target(out)
    for path in (bench, run / RESULTS):
        if not path.is_file():
            raise UserError(f"there is no file {path}")
    scores = {key: mean_estimate(values) for key, values in figure.scores_of(read_rows(run / RESULTS)).items()}
    points = figure.points(figure.turns_of(read_rows(bench)), {k: (e.mean, e.low, e.high) for k, e in scores.items()})
    _write(target, figure.throughput(points, "What throughput costs"))


@app.command()
def pipeline(out: NamedOut = Path("pipeline.png")) -> None:
    """What data go through, where each method acts, and which rate is counted there.

    Example: freqq visualize pipeline --out -
    """
    target = _target(out)

    from freqq.report.pipeline import pipeline as draw

    _write(target, draw())


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
    target = _target(out or Path(f"{image.stem}-{kind}.png"))
    if target.resolve() == image.resolve():
        raise UserError(f"--out {target} would overwrite the image: choose another name")
    return target, read_page(find_images([image])[0])


def _target(target: Path) -> Path:
    """The file to write or ``-``, after checking that it can be written or shown."""
    from freqq.cli.outputs import OutputFolder
    from freqq.errors import UserError

    if target == STANDARD_OUTPUT:
        if sys.stdout.isatty():
            from freqq.report.terminal_pictures import check_protocol

            check_protocol(os.environ)
        return target
    if target.suffix.lower() not in ENDINGS:
        raise UserError(
            f"--out {target}: let the name end in {', '.join(ENDINGS)}, which says what the figure is to be"
        )
    if target.is_dir():
        raise UserError(f"--out {target} is a folder: give a file name")
    OutputFolder(target.parent).check([], [])
    return target


def _after(page: "Page", codec: "BlockDct | None") -> "Page":
    return page if codec is None else codec.decode(codec.encode(page))


def _described(level: str, codec: "BlockDct | None") -> str:
    return level if codec is None else f"{level}, keep {codec.keep:g}"


def _write(target: Path, figure: "Figure") -> None:
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
    typer.echo(target)
