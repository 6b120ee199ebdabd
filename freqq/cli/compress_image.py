"""``freqq compress-image``: encode and decode page images with image codecs."""

import os
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

from freqq.cli import options as o
from freqq.cli.codecs import arms_of
from freqq.cli.command import argument, option, switch
from freqq.image import CODECS
from freqq.names import several
from freqq.runs.options import overrides

if TYPE_CHECKING:
    from freqq.cli.outputs import OutputFolder
    from freqq.image.batch import Arm, Content, Source, Task
    from freqq.image.dct import BlockDct

Row = dict[str, Any]

SAVE_S = 5.0
"""Most seconds of work that are lost if the program is killed."""

Images = Annotated[list[Path], argument("IMAGE", "Image files, or folders of them.", show_default=False)]
Keep = Annotated[
    float | None,
    option("--keep", "FRACTION", "Fraction of the coefficients to keep, instead of the level's.", o.METHODS),
]
Block = Annotated[int | None, option("--block", "PX", "Side of the blocks; 14 by default.", o.METHODS)]
Out = Annotated[Path, option("--out", "DIR", "Folder for the outputs.")]


def compress_image(
    images: Images,
    codec: Annotated[
        list[str],
        option(
            "--codec",
            "NAME,...",
            f"Some of {', '.join(o.codec_names(CODECS.own))}, or all.",
            o.METHODS,
            lambda: (*o.codec_names(), "all"),
        ),
    ] = ["dct"],  # noqa: B006
    level: o.Level = o.MILD,
    keep: Keep = None,
    block: Block = None,
    assignments: o.Set = None,
    ocr: Annotated[bool, switch("--ocr", "Read the decoded pages with tesseract, and count the errors.")] = False,
    text: Annotated[
        Path | None,
        option("--text", "FILE", "The text of a single image that has no pages.parquet in its folder."),
    ] = None,
    workers: Annotated[
        int | None, option("--workers", "N", "Pages in parallel; by default one per core.", min=1)
    ] = None,
    out: Out = Path("compressed"),
    as_json: o.Json = False,
) -> None:
    """Compress page images with image codecs, and measure their real sizes and quality.

    Writes for each image the decoded page (NAME.png) and its stream (NAME.fqi), in a folder for each codec and level if
    there are several, and pages.parquet with sizes, PSNR, SSIM, times, vision tokens and legibility. The level baseline
    is lossless. Outputs of an earlier run are kept. The texts of pages come from the pages.parquet that 'freqq render'
    writes.

    Example: freqq compress-image pages/ --codec vq,webp --level all --out out
    """
    from freqq.cli.outputs import OutputFolder
    from freqq.cli.printing import print_json
    from freqq.cli.progress import note
    from freqq.image.batch import Source, output_folders, plan
    from freqq.image.files import find_images
    from freqq.image.legibility import check_tesseract

    given = overrides(assignments, keep=keep, block=block)
    arms, left_out = arms_of(codec, level, given)
    paths = find_images(images)
    folder = OutputFolder(out)
    names = folder.check(paths, (".png", ".fqi"), output_folders(arms))
    contents = _texts(paths, text)
    sources = [Source(path, name, contents.get(path)) for path, name in zip(paths, names, strict=True)]
    if ocr:
        check_tesseract()
    arms, unknown = _without_text(arms, sources, ocr or "text" in several("codec", codec))
    earlier, own = _earlier(out)
    check_images(paths)
    arms = _prepared(arms, sources)
    if left_out + unknown:
        note(f"left out: {'; '.join(left_out + unknown)}")
    tasks, kept = plan(sources, arms, out, ocr, earlier, own)
    rows = _work(folder, tasks, kept, workers or os.cpu_count() or 1)
    if as_json:
        print_json(rows)
    else:
        _show(rows, arms, out, len(kept))


def check_images(paths: list[Path]) -> dict[Path, tuple[int, int, str]]:
    """Read all images once, before anything is written, and note those of which only the first frame is used.

    Returns
    -------
    dict
        The height and width in pixels of each page, and its hash.

    Raises
    ------
    UserError
        If one cannot be read.
    """
    from freqq.cli.progress import each, note
    from freqq.image.files import frame_count, read_page

    found = {}
    for path in each(paths, "checking"):
        page = read_page(path)
        height, width = page.pixels.shape[:2]
        found[path] = (height, width, page.sha256)
        if (frames := frame_count(path)) > 1:
            note(f"{path} has {frames} frames: only the first is taken")
    return found


def codec_at(level: str, keep: float | None = None, block: int | None = None) -> "BlockDct | None":
    """The block DCT at a level, with some parameters overridden; None at the baseline."""
    from freqq.image.dct import BlockDct
    from freqq.levels import no_parameters

    given = {name: value for name, value in (("keep", keep), ("block", block)) if value is not None}
    if level != "baseline":
        return BlockDct.at(level, **given)
    no_parameters(given)
    return None


def _texts(paths: list[Path], text: Path | None) -> "dict[Path, Content]":
    """The contents of images, from ``--text`` or the pages.parquet of 'freqq render' in their folders."""
    from freqq.errors import UserError
    from freqq.image.batch import Content, contents_in

    if text is None:
        return {path: found for folder in {p.parent for p in paths} for path, found in contents_in(folder).items()}
    if len(paths) != 1:
        raise UserError(f"--text {text} is the text of one image, and there are {len(paths)}")
    try:
        return {paths[0]: Content(text.read_text("utf-8"))}
    except OSError as error:
        raise UserError(f"cannot read {text}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{text} is not text in UTF-8") from error


def _without_text(arms: "list[Arm]", sources: "list[Source]", named: bool) -> "tuple[list[Arm], list[str]]":
    """The arms that can be run, and notes on the others: the codec text needs all texts, and fails if it was named."""
    from freqq.errors import UserError

    missing = [source.path for source in sources if source.content is None]
    if missing and named:
        raise UserError(f"{missing[0]}: its text is not known; render it with 'freqq render', or give --text")
    if not missing or all(arm.name != "text" for arm in arms):
        return arms, []
    return [arm for arm in arms if arm.name != "text"], [f"text (what {missing[0]} shows is not known)"]


def _prepared(arms: "list[Arm]", sources: "list[Source]") -> "list[Arm]":
    """The arms with codecs prepared for the known styles of these pages."""
    from dataclasses import replace

    from freqq.cli.progress import learning, note
    from freqq.image.base import once
    from freqq.pages.glyph import GlyphConfig
    from freqq.pages.redraw import parse_style

    styles = dict.fromkeys(
        source.content.style for source in sources if source.content and source.content.style is not None
    )
    looks = [style for style in map(parse_style, styles) if isinstance(style, GlyphConfig)]
    say = once(note)
    return [arm if arm.codec is None else replace(arm, codec=arm.codec.prepared(looks, say, learning)) for arm in arms]


def _work(folder: "OutputFolder", tasks: "list[Task]", kept: list[Row], workers: int) -> list[Row]:
    """Do the tasks and keep pages.parquet up to date, also if interrupted; returns the rows of this run."""
    from freqq.cli.progress import counted
    from freqq.image.batch import recode_all

    rows, saved = list(kept), monotonic()

    def save() -> None:
        table = {row["file"]: row for row in [*_earlier(folder.path)[0], *rows]}  # read again: another run may add
        folder.write_table("pages.parquet", [table[file] for file in sorted(table)])

    try:
        for done in counted(recode_all(tasks, workers), len(tasks), "compressing"):
            rows += done
            if monotonic() - saved > SAVE_S:
                save()
                saved = monotonic()
    finally:
        if rows:
            save()
    return sorted(rows, key=lambda row: row["file"])


def _earlier(out: Path) -> tuple[list[Row], set[str]]:
    """The rows of an earlier run whose files still exist, and all files of earlier runs."""
    from freqq.errors import UserError
    from freqq.image.batch import has, read_rows

    table = out / "pages.parquet"
    rows = read_rows(table)
    if any(row.get("text") for row in rows):
        raise UserError(f"{out} has rendered pages, whose pages.parquet would be overwritten: choose another --out")
    if table.exists() and not (rows and all(has(row, "file", "source", "codec", "level", "params") for row in rows)):
        raise UserError(f"{table} is no table of compress-image, and would be overwritten: choose another --out")
    # Tables of earlier versions lack columns. Without the source's digest the work is repeated; without resources, that
    # of codecs that have some.
    usable = [{"resources": "", **row} for row in rows if "source_sha256" in row and (out / row["file"]).is_file()]
    return usable, {row["file"] for row in rows}


SIZES = ("input_bytes", "page_png_bytes", "stream_bytes", "decoded_png_bytes")
MARKS = {"psnr": ".1f", "ssim": ".4f", "vision_tokens": ",.0f", "cer": ".4f"}
COSTS = {"word_recall": ".4f", "encode_ms": ".0f", "decode_ms": ".0f"}


def _show(rows: list[Row], arms: "list[Arm]", out: Path, kept: int) -> None:
    from freqq.cli.printing import show

    note = f"pages, streams and pages.parquet are in {out}"
    if kept:
        note += f"; {kept} of {len(rows)} were there from an earlier run"
    if len(arms) > 1:
        groups = {arm: [row for row in rows if (row["codec"], row["level"]) == (arm.name, arm.level)] for arm in arms}
        show(
            f"Means of {len(groups[arms[0]])} pages; sizes in bytes; of file: the stream by the original file",
            (
                "codec, level", "stream", "of file", "bits/pixel", "PSNR dB", "SSIM", "tokens", "CER", "words", "ms",
                "ms back",
            ),
            [
                (
                    ", ".join(dict.fromkeys((arm.name, arm.level))), *_means(group, {"stream_bytes": ",.0f"}),
                    _of_file(group), *_means(group, {"bits_per_pixel": ".3f", **MARKS, **COSTS}),
                )
                for arm, group in groups.items()
            ],
            note,
        )  # fmt: skip
        return

    def cells(of: list[Row]) -> list[str]:
        return [*_means(of, dict.fromkeys(SIZES, ",.0f")), _of_file(of), *_means(of, MARKS)]

    show(
        "Sizes in bytes: the original file, the page as PNG, its stream, and the decoded page as PNG",
        ("page", "pixels", "file", "PNG", "stream", "decoded", "of file", "PSNR dB", "SSIM", "tokens", "CER"),
        [(row["name"], f"{row['width']}x{row['height']}", *cells([row])) for row in rows],
        note,
        (f"mean of {len(rows)}", "", *cells(rows)) if len(rows) > 1 else None,
    )


def _means(rows: list[Row], forms: dict[str, str]) -> list[str]:
    from freqq.cli.printing import mean

    return [mean([row[column] for row in rows], form) for column, form in forms.items()]


def _of_file(rows: list[Row]) -> str:
    """The streams' bytes divided by those of the original files, which may be smaller than an ordinary PNG."""
    return f"{sum(row['stream_bytes'] for row in rows) / sum(row['input_bytes'] for row in rows):.2f}"
