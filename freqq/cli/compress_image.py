"""``freqq compress-image``: page images through an image codec and back, with real sizes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from freqq.levels import LEVELS

if TYPE_CHECKING:
    from freqq.image.dct import BlockDct

Images = Annotated[
    list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders of them.", show_default=False)
]
Level = Annotated[str, typer.Option("--level", metavar="NAME", help=f"One of {', '.join(LEVELS)}.")]
Keep = Annotated[
    float | None,
    typer.Option("--keep", metavar="FRACTION", help="Fraction of the coefficients to keep, for the level's."),
]
Block = Annotated[int | None, typer.Option("--block", metavar="PX", help="Side of the blocks; 14 by default.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the outputs.")]


def compress_image(
    images: Images,
    level: Level = "mild",
    keep: Keep = None,
    block: Block = None,
    out: Out = Path("compressed"),
) -> None:
    """Compress page images with a thresholded block DCT, and measure what that really saves and costs.

    Writes for each image the decoded page (NAME.png) and its stream (NAME.fqi), and pages.parquet with all sizes, PSNR,
    SSIM and times. The level baseline stores pages without loss.
    """
    from freqq.cli.outputs import OutputFolder
    from freqq.cli.progress import each
    from freqq.image.files import find_images, read_page
    from freqq.image.recode import recode

    codec = codec_at(level, keep, block)
    paths = find_images(images)
    folder = OutputFolder(out)
    names = folder.check(paths, (".png", ".fqi"))
    for path in each(paths, "checking"):
        read_page(path)  # all, before anything is written
    rows: list[dict[str, Any]] = []
    for path, name in zip(each(paths, "compressing"), names, strict=True):
        recoded = recode(read_page(path), codec)
        folder.write(f"{name}.png", recoded.png)
        folder.write(f"{name}.fqi", recoded.stream)
        rows.append(
            {"name": name, "source": str(path), "level": level, "input_bytes": path.stat().st_size, **recoded.row}
        )
    folder.write_table("pages.parquet", rows)
    _show(rows, out)


def codec_at(level: str, keep: float | None = None, block: int | None = None) -> "BlockDct | None":
    """The codec of a level, with options in place of its own values; None at the baseline."""
    from freqq.errors import UserError
    from freqq.image.dct import BlockDct

    given = {name: value for name, value in (("keep", keep), ("block", block)) if value is not None}
    if level != "baseline":
        return BlockDct.at(level, **given)
    if given:
        raise UserError(f"level baseline touches nothing: leave out --{next(iter(given))}, or choose another level")
    return None


def _show(rows: list[dict[str, Any]], out: Path) -> None:
    from freqq.cli.files_table import show

    show(
        "Sizes in bytes: the page as PNG, its stream, and the decoded page as PNG",
        ("page", "pixels", "PNG", "stream", "decoded", "stream/PNG", "PSNR dB", "SSIM"),
        [
            (
                row["name"],
                f"{row['width']}x{row['height']}",
                f"{row['page_png_bytes']:,}",
                f"{row['stream_bytes']:,}",
                f"{row['decoded_png_bytes']:,}",
                f"{row['stream_bytes'] / row['page_png_bytes']:.2f}",
                f"{row['psnr']:.1f}",
                f"{row['ssim']:.4f}",
            )
            for row in rows
        ],
        f"pages, streams and pages.parquet are in {out}",
    )
