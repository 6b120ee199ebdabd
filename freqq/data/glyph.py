"""Glyph's processed files: ``processed_2needle_0-128k.json`` (an array) and ``.jsonl`` (after rendering)."""

import re
from collections.abc import Iterator, Mapping
from os.path import isfile  # false, rather than an error, for a name that no file can have
from pathlib import Path
from typing import Any

from freqq.data.bins import BINS
from freqq.data.fields import Record, as_object, kind, text
from freqq.data.json_values import json_values
from freqq.data.sample import Sample, Turn
from freqq.errors import UserError

FIELDS = ("unique_id", "question", "answer", "context", "random_string_to_prepend", "image_paths")

MOST_PAGES = 100_000
_NEEDLES = re.compile(r"(?<!\d)(\d{1,2})needle")
_BIN = re.compile("|".join(rf"(?<!\d){name}(?![\dk])" for name in BINS))


def glyph_samples(path: Path, name: str) -> Iterator[Sample]:
    """The records of a file, with their ids. Errors as in `glyph_sample`."""
    return (glyph_sample(item.value, path, f"{path}, line {item.line}") for item in json_values(path))


def glyph_sample(record: object, path: Path, where: str) -> Sample:
    """One record: its `context` is to be rendered, its `image_paths` are pages rendered before.

    Needles and bin are read from `unique_id` (``2needle_0k_8k.parquet-0``), the needles otherwise from the file's name.

    Raises
    ------
    UserError
        If a field is missing or has the wrong type, there is neither context nor pages, or a page's file is missing.
    """
    record = as_object(record, where)
    unique_id = text(record, "unique_id", where)
    needles = _NEEDLES.search(unique_id) or _NEEDLES.search(path.name)
    stated = _BIN.search(unique_id)
    return Sample(
        id=unique_id,
        needles=int(needles[1]) if needles else 0,
        bin=stated[0] if stated else "",
        bin_source="file" if stated else "",
        question=text(record, "question", where),
        answer=text(record, "answer", where),
        prefix=text(record, "random_string_to_prepend", where),
        **page_fields(record, path, where),
    )


def page_fields(record: Record, path: Path, where: str) -> dict[str, Any]:
    """The `turns`, `images` and `config` of a record's `Sample`.

    Raises
    ------
    UserError
        As `glyph_sample`.
    """
    images = _page_files(record.get("image_paths"), path, where)
    context = text(record, "context", where) if "context" in record or not images else ""
    if not context and not images:
        raise UserError(f"{where}: 'context' is empty and there are no 'image_paths', so there is nothing to read")
    turns = (Turn("", context),) if context else ()
    return {"turns": turns, "images": images, "config": _rendering(record.get("config"), where)}


def _rendering(found: object, where: str) -> Mapping[str, Any] | None:
    """A record's `config`: keys of Glyph's ``config.json``, without a newline markup of null, which is the default."""
    if isinstance(found, dict):
        return {key: value for key, value in found.items() if key != "newline-markup" or value is not None}
    if found is None:
        return None
    raise UserError(f"{where}: field 'config' has to be an object, not {kind(found)}")


def _page_files(found: object, path: Path, where: str) -> tuple[Path, ...]:
    """The page files; relative paths are resolved from the file's folder, its parents, or the working directory."""
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise UserError(f"{where}: field 'image_paths' has to be a list of file names")
    if len(found) > MOST_PAGES:
        raise UserError(f"{where}: field 'image_paths' names {len(found):,} pages; the most is {MOST_PAGES:,}")
    roots = (path.parent, *list(path.resolve().parents)[1:4], Path())
    return tuple(_image(name, roots, where) for name in found)


def _image(name: str, roots: tuple[Path, ...], where: str) -> Path:
    for root in roots:
        if isfile(root / name):
            return root / name
    raise UserError(
        f"{where}: there is no page {name[:200]!r}; put it there, or remove 'image_paths' to have it rendered"
    )
