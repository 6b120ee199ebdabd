"""``freqq compress-tokens``: page images through a vision tower, and its tokens through a compressor and back."""

from pathlib import Path
from typing import Annotated, Any

import typer

from freqq.cli.compress_image import Images, Level, Out

Bits = Annotated[
    str | None,
    typer.Option(
        "--bits", metavar="L,M,H", help="Bits of the low, middle and high band, for the level's; 0 drops one."
    ),
]
Low = Annotated[
    str | None,
    typer.Option("--low", metavar="FRACTION", help="Upper edge of the low band, of the grid's highest frequency."),
]
Mid = Annotated[str | None, typer.Option("--mid", metavar="FRACTION", help="Upper edge of the middle band.")]
Model = Annotated[
    str, typer.Option("--model", metavar="NAME", help="tiny, glyph, glm-4.1v-9b, a hub id (owner/name), or a folder.")
]
Revision = Annotated[
    str | None, typer.Option("--revision", metavar="REF", help="Branch, tag or commit of a hub model.")
]


def compress_tokens(
    images: Images,
    level: Level = "mild",
    bits: Bits = None,
    low: Low = None,
    mid: Mid = None,
    model: Model = "tiny",
    revision: Revision = None,
    out: Out = Path("compressed"),
) -> None:
    """Quantize the vision tokens of page images in frequency bands, and measure the error and the real size.

    Writes for each image its stream (NAME.fqt), and tokens.parquet with sizes, errors, cosines, entropies and times.
    The level baseline stores tokens without loss.
    """
    from freqq.cli.outputs import OutputFolder
    from freqq.cli.progress import each
    from freqq.errors import UserError
    from freqq.image.files import find_images, read_page
    from freqq.runs.methods import method_at
    from freqq.tokens.recode import recode

    given = {name: value for name, value in (("bits", bits), ("low", low), ("mid", mid)) if value is not None}
    if level == "baseline" and given:
        raise UserError(f"level baseline touches nothing: leave out --{next(iter(given))}, or choose another level")
    method: Any = None if level == "baseline" else method_at("token", level, given)
    paths = find_images(images)
    folder = OutputFolder(out)
    names = folder.check(paths, (".fqt",))
    for path in each(paths, "checking"):
        read_page(path)  # all, before the model is loaded and anything is written

    from freqq.glm.load import load_reader

    reader = load_reader(model, revision)
    rows: list[dict[str, Any]] = []
    for path, name in zip(each(paths, "compressing"), names, strict=True):
        [grid] = reader.see([read_page(path)])
        recoded = recode(grid, method)
        folder.write(f"{name}.fqt", recoded.stream)
        origin = {"name": name, "source": str(path), "level": level}
        rows.append({**origin, "model": reader.model_name, "model_revision": reader.revision, **recoded.row})
    folder.write_table("tokens.parquet", rows)
    _show(rows, out)


def _show(rows: list[dict[str, Any]], out: Path) -> None:
    from freqq.cli.files_table import show
    from freqq.frequency.bands import BANDS

    show(
        "Bytes of the tokens in bfloat16 and of their stream; error and cosine are whitened",
        ("page", "grid", "bf16", "stream", "saved", "error", "cosine", "bits/value"),
        [
            (
                row["name"],
                f"{row['h']}x{row['w']}x{row['channels']}",
                f"{row['raw_bf16_bytes']:,}",
                f"{row['stream_bytes']:,}",
                f"{row['raw_bf16_bytes'] / row['stream_bytes']:.2f}x",
                f"{row['whitened_error']:.2g}",
                f"{row['whitened_cosine']:.4f}",
                " ".join("-" if row[f"entropy_{b}"] is None else f"{row[f'entropy_{b}']:.1f}" for b in BANDS),
            )
            for row in rows
        ],
        f"streams and tokens.parquet are in {out}",
    )
