"""``freqq compress-tokens``: compress and restore the vision tokens of page images."""

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from freqq.cli import options as o
from freqq.cli.command import completing, option
from freqq.cli.compress_image import SAVE_S, Images, Out, check_images
from freqq.names import single
from freqq.runs.options import overrides

if TYPE_CHECKING:
    from freqq.glm.load import Weights
    from freqq.tokens.base import TokenCompressor

Row = dict[str, Any]

Method = Annotated[
    list[str],
    typer.Option(
        "--method", "--compressor", metavar="NAME", rich_help_panel=o.METHODS,
        help="token (or quantize), lowpass, prune and so on, or a combination such as lowpass+quantize.",
        autocompletion=completing(o.token_method_names),
    ),
]  # fmt: skip
Low = Annotated[
    str | None,
    option("--low", "FRACTION", "Upper edge of the low band, as a fraction of the highest frequency.", o.METHODS),
]
Mid = Annotated[str | None, option("--mid", "FRACTION", "Upper edge of the middle band.", o.METHODS)]


def compress_tokens(
    images: Images,
    method: Method = ["token"],  # noqa: B006
    level: o.OneLevel = o.MILD,
    keep: o.Keep = None,
    bits: o.Bits = None,
    low: Low = None,
    mid: Mid = None,
    assignments: o.Set = None,
    model: o.Model = "tiny",
    revision: o.Revision = None,
    out: Out = Path("compressed-tokens"),
    as_json: o.Json = False,
) -> None:
    """Compress the vision tokens of page images, and measure the error and the real size.

    Writes for each image its stream (NAME.fqt), and tokens.parquet with sizes, errors, cosines, entropies and times;
    freqq eval --tokens-from reads both. The level baseline is lossless. A folder that has tokens by the same method and
    model keeps them.

    Example: freqq compress-tokens pages/ --method lowpass+quantize --level mild --out store
    """
    from freqq.cli.outputs import OutputFolder
    from freqq.cli.printing import print_json
    from freqq.cli.progress import each
    from freqq.errors import UserError
    from freqq.files import as_text
    from freqq.image.files import find_images, read_page
    from freqq.tokens.measures import method_params, recode
    from freqq.tokens.store import INDEX

    edges = [f"{name}={value}" for name, value in (("low", low), ("mid", mid)) if value is not None]
    given = overrides([*edges, *(assignments or ())], keep=keep, bits=bits)
    at = single("level", level)
    name, compressor = token_method(single("method", method), at, given)
    paths = find_images(images)
    folder = OutputFolder(out)
    names = folder.check(paths, (".fqt",))
    pages = check_images(paths)  # before the model is found, which may be a download
    params = method_params(compressor)
    earlier = _earlier(out, name, at, params)

    from freqq.glm.load import find, load
    from freqq.glm.place import place

    weights = find(model, revision)
    _check_pages(dict(zip(names, pages.items(), strict=True)), earlier, weights, out)
    reader = load(weights, place())
    rows: list[Row] = []
    saved = monotonic()

    def save() -> None:
        folder.write_table(INDEX, _merged(_earlier(out, name, at, params), rows))  # read again: another run may add

    try:
        for path, stem in zip(each(paths, "compressing"), names, strict=True):
            page = read_page(path)
            [grid] = reader.see([page])
            try:
                recoded = recode(grid, compressor)
            except UserError as error:
                raise UserError(f"{path}: {error}") from error
            folder.write(f"{stem}.fqt", recoded.stream)
            rows.append(
                {
                    "name": stem,
                    "source": as_text(path.absolute()),
                    "method": name,
                    "level": at,
                    "model": reader.model_name,
                    "model_revision": reader.revision,
                    "page_hash": page.sha256,
                    "file": f"{stem}.fqt",
                    **recoded.row,
                }
            )
            if monotonic() - saved > SAVE_S:
                save()
                saved = monotonic()
    finally:
        if rows:
            save()
    if as_json:
        print_json(rows)
    else:
        _show(rows, out)


def token_method(method: str, level: str, given: dict[str, str]) -> "tuple[str, TokenCompressor | None]":
    """A token method's full name, and the method at a level (None at the baseline). ``token-`` may be omitted."""
    from freqq.errors import UserError
    from freqq.levels import no_parameters
    from freqq.runs.methods import canonical, check_overrides, method_at, method_class
    from freqq.tokens.base import TokenCompressor

    name = canonical(method if method.startswith("token") else f"token-{method}")
    if not issubclass(method_class(name), TokenCompressor):
        raise UserError(f"--method {method} does not act on tokens")
    if level == "baseline":
        no_parameters(given)
        return name, None
    check_overrides((name,), given)
    found = method_at(name, level, given)
    assert isinstance(found, TokenCompressor)
    return name, found


def _earlier(out: Path, name: str, level: str, params: str) -> list[Row]:
    """The rows of a folder that has tokens by the same method; a folder of others is refused."""
    from freqq.errors import UserError
    from freqq.image.batch import read_rows
    from freqq.tokens.store import INDEX, PLAIN, TokenStore

    if not (out / INDEX).exists():
        return []
    store = TokenStore(out)
    if (store.method, store.level, store.params) != (PLAIN if level == "baseline" else (name, level, params)):
        raise UserError(f"{out} has tokens by {store.method}, {store.level} ({store.params}): choose another --out")
    return read_rows(out / INDEX)


def _check_pages(
    pages: dict[str, tuple[Path, tuple[int, int, str]]], earlier: list[Row], weights: "Weights", out: Path
) -> None:
    """Refuse, before the model is loaded, what would stop half-way or replace the tokens of other pages.

    `pages`: of each name the file, its height and width in pixels, and its hash.
    """
    from freqq.errors import UserError
    from freqq.files import same_file
    from freqq.glm.spec import read_spec
    from freqq.tokens.container import is_stream

    for row in earlier:
        if row["model_revision"] != weights.revision:
            made_by = f"{row['model']} at {row['model_revision']}"
            raise UserError(f"{out} has tokens of {made_by}, not of {weights.name}: choose another --out")
    known, spec = {row["file"]: row for row in earlier}, read_spec(weights)
    for stem, (path, (height, width, page_hash)) in pages.items():
        stream = out / f"{stem}.fqt"
        had = known.get(stream.name)
        try:
            spec.grid_shape(height, width)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        if had and had["page_hash"] != page_hash and not same_file(had["source"], path):
            raise UserError(f"{stream} has the tokens of {had['source']}, not of {path}: choose another --out")
        if not had and stream.exists() and not is_stream(stream):
            raise UserError(f"{stream} is no stream of tokens, and would be replaced: choose another --out")


def _merged(earlier: list[Row], rows: list[Row]) -> list[Row]:
    """The earlier rows, replaced by the new ones of their files; without pages that have a new one in another file."""
    files, pages = ({row[key] for row in rows} for key in ("file", "page_hash"))
    merged = {row["file"]: row for row in [*earlier, *rows]}
    return [row for file, row in merged.items() if file in files or row["page_hash"] not in pages]


def _show(rows: list[Row], out: Path) -> None:
    from freqq.cli.printing import mean, show
    from freqq.transforms.bands import BANDS

    def cells(of: list[Row]) -> list[str]:
        forms = {"tokens_kept": ",.0f", "raw_bf16_bytes": ",.0f", "stream_bytes": ",.0f"}
        errors = {"whitened_error": ".2g", "whitened_cosine": ".4f"}
        sizes, measures = ([mean([row[n] for row in of], form) for n, form in kind.items()] for kind in (forms, errors))
        saved = sum(row["raw_bf16_bytes"] for row in of) / sum(row["stream_bytes"] for row in of)
        return [
            *sizes, f"{saved:.2f}x", *measures,
            " ".join(mean([row[f"entropy_{band}"] for row in of], ".1f") for band in BANDS),
        ]  # fmt: skip

    show(
        "Bytes of the tokens in bfloat16 and of their stream; error and cosine are whitened",
        ("page", "grid", "tokens", "bf16", "stream", "saved", "error", "cosine", "bits/value"),
        [(row["name"], f"{row['h']}x{row['w']}x{row['channels']}", *cells([row])) for row in rows],
        f"streams and tokens.parquet are in {out}",
        (f"mean of {len(rows)}", "", *cells(rows)) if len(rows) > 1 else None,
    )
