"""``freqq render``: render chats to page images like Glyph's."""

import re
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from freqq.cli import options as o
from freqq.cli.command import argument, option

if TYPE_CHECKING:
    from freqq.cli.outputs import OutputFolder
    from freqq.data.sample import Sample
    from freqq.runs.rendering import Rendering

Chat = Annotated[
    str, argument("CHAT", "A chat (JSON, JSON Lines, text), or any data of 'freqq data info'.", show_default=False)
]
Out = Annotated[Path, option("--out", "DIR", "Folder for the pages.")]
Limit = Annotated[int | None, option("--limit", "N", "Render the first N chats only.", min=1)]

TABLE = "pages.parquet"


def render(
    chat: Chat,
    out: Out = Path("pages"),
    config: o.Config = None,
    dpi: o.Dpi = None,
    font: o.Font = None,
    line_breaks: o.LineBreaks = None,
    look: o.Look = None,
    limit: Limit = None,
    skip_bad: o.SkipBad = False,
    as_json: o.Json = False,
) -> None:
    """Render chats to page images with the line breaks, page breaks and pixels of Glyph's pipeline.

    Writes page-0001.png and so on, and pages.parquet with each page's text, size and hash, in a folder for each chat if
    there are several. Pages of an earlier call of the same kind are replaced; a folder with other files is refused.

    Example: freqq render chat.json --dpi 96 --out pages
    """
    from freqq.cli.outputs import OutputFolder
    from freqq.cli.printing import print_json, show
    from freqq.cli.progress import counted, note, note_skipped
    from freqq.data.load import load
    from freqq.errors import UserError
    from freqq.runs.rendering import Rendering
    from freqq.runs.sources import usual_line_breaks

    found = load(chat, skip_bad, look)
    rendering = Rendering.read(config, font, dpi, line_breaks or usual_line_breaks(found))
    samples = found.samples(limit=limit)
    first = list(islice(samples, 2))
    if not first:
        raise UserError(f"{chat} has no chat to render")
    _check(out, several=len(first) > 1)
    OutputFolder(out).check([], [])
    for remark in rendering.remarks(found.samples(limit=limit)):
        note(remark)
    names: set[str] = set()
    rows, written = [], []
    for sample in counted(chain(first, samples), None, "rendering"):
        folder = out / _name(sample.id, names) if len(first) > 1 else out
        pages = _render(sample, rendering, OutputFolder(folder))
        if as_json:
            written += [{k: v for k, v in p.items() if k not in ("text", "style")} | {"folder": folder} for p in pages]
        sizes = sorted({f"{p['width']}x{p['height']}" for p in pages})
        shown = sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes"
        rows.append((sample.id, f"{len(pages):,}", shown, f"{sum(p['png_bytes'] for p in pages):,}"))
    if as_json:
        print_json(written)
    else:
        show(
            "Chats as pages; sizes in pixels and in bytes of PNG",
            ("chat", "pages", "pixels", "PNG"),
            rows,
            f"pages and pages.parquet are in {out}",
        )
    note_skipped(found.skipped)


def _render(sample: "Sample", rendering: "Rendering", folder: "OutputFolder") -> list[dict[str, Any]]:
    """Write a chat's pages one by one, which bounds memory, and remove earlier ones."""
    from freqq.pages.page import png_bytes
    from freqq.pages.redraw import style_json

    rows: list[dict[str, Any]] = []
    earlier = _own(folder.path)
    try:
        for number, page in enumerate(rendering.pages(sample), start=1):
            name, content = f"page-{number:04}.png", png_bytes(page)
            folder.write(name, content)
            rows.append(
                {
                    "sample_id": sample.id,
                    "page": number,
                    "file": name,
                    "width": page.pixels.shape[1],
                    "height": page.pixels.shape[0],
                    "lines": len(page.lines),
                    "text": page.text,
                    "style": None if page.style is None else style_json(page.style),
                    "sha256": page.sha256,
                    "png_bytes": len(content),
                }
            )
    finally:
        if rows:  # also if interrupted: the table marks the pages as ours
            folder.write_table(TABLE, rows)
            for name in earlier - {TABLE, *(row["file"] for row in rows)}:
                (folder.path / name).unlink(missing_ok=True)
    return rows


def _check(out: Path, several: bool) -> None:
    """Refuse a folder that contains anything but the files of an earlier call of the same kind."""
    from freqq.errors import UserError

    others: list[Path] = []
    for folder in _inside(out) if several else [out]:
        own = _own(folder) if folder.is_dir() else set()
        found = [p for p in _inside(folder) if p.is_dir() or p.name not in own]
        others += found if own or folder == out else [folder]
    if others:
        known = f"pages of {'several chats, a folder each' if several else 'one chat'}"
        raise UserError(f"{out} holds more than {known} ({others[0].name}): choose an empty or new folder with --out")


def _inside(folder: Path) -> list[Path]:
    """The entries of a folder, without hidden ones."""
    return sorted(p for p in folder.iterdir() if p.name[0] != ".") if folder.is_dir() else []


def _own(folder: Path) -> set[str]:
    """The names of files that an earlier call wrote to a folder, from its table."""
    from freqq.image.batch import read_rows

    rows = read_rows(folder / TABLE)
    if not rows or not {"sample_id", "file", "png_bytes"} <= set(rows[0]):
        return set()  # not a table of this command
    names = (str(row["file"]) for row in rows)
    return {TABLE, *(name for name in names if name == Path(name).name)}


def _name(sample_id: str, taken: set[str]) -> str:
    """A unique folder name for a sample that is safe for any id."""
    from freqq.cli.outputs import unused

    name = unused(re.sub(r"[^\w+=.-]", "_", sample_id).lstrip(".")[:100] or "chat", taken)
    taken.add(name)
    return name
