"""Find a data set by name or path, and tell what it is by its content."""

import hashlib
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from os.path import isdir, isfile  # false, rather than an error, for a name that no file can have
from pathlib import Path
from typing import Any

from freqq.data import glyph, hub, mrcr, ruler
from freqq.data.chat import chat_samples, text_sample
from freqq.data.convbench import convbench_samples
from freqq.data.dataset import DataSet
from freqq.data.glyph import glyph_samples
from freqq.data.json_values import json_values
from freqq.data.longbench import is_longbench, longbench_samples
from freqq.data.mini import NEEDLES, REVISION, mini
from freqq.data.mrcr import samples
from freqq.data.parquet import parquet_needles, parquet_records
from freqq.data.ruler.records import is_ruler, ruler_samples
from freqq.data.sample import Sample
from freqq.errors import UserError
from freqq.names import unknown

GENERATED = ("mini", *ruler.MAKERS)
"""What is made here, without files or a download."""

DESCRIBED = {
    "mini": "MRCR in small, made here, in a look that the embedded model reads",
    "mrcr": f"{hub.HUB} from the hub or its cache: several needles in a chat, and one that is asked for",
    "ruler": "RULER, made here at any --context: " + ", ".join(ruler.MAKERS["ruler"][1].subtasks),
    "ruler-mini": "RULER's single needles in the look of mini, for trying things out with the embedded model",
    "a file or folder": "MRCR's, RULER's and LongBench's records, Glyph's files of all three, ConvBench's "
    "workbook, chats, plain text: the format is told by the content",
}
"""What ``--data`` takes, in words."""

NAMES = ("mini", "mrcr", hub.HUB, *ruler.MAKERS)
"""What can be loaded by name; ``mrcr`` is short for the data set of the hub."""

SUFFIXES = (".parquet", ".jsonl", ".json", ".xlsx")
"""The files of a folder that are data. A single file may be called anything."""

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pdf")
"""What no chat is called."""

PARQUET = b"PAR1"
MOST_FILES = 1000
MOST_ENTRIES = 20_000
MINI_SAMPLES = 100
"""Samples of each needle count that `mini` makes unless more are asked for."""


@dataclass(frozen=True)
class _File:
    path: Path
    label: str
    format: str


def load(name: str | Path) -> DataSet:
    """A data set: a name of `NAMES`, or else a file or folder, whose format is told by its content.

    - MRCR's records (Parquet, a JSON array, JSON Lines), or a folder of such files as the hub lays it out
    - Glyph's processed files (a JSON array, JSON Lines) of MRCR, RULER and LongBench
    - RULER's and LongBench's own records
    - ConvBench's workbook
    - chats as OpenAI messages (JSON, JSON Lines), or as plain text

    A path that is also a name is written ``./mini``. Files are read as they are needed; JSON is also read once here, to
    see that it is whole.

    Raises
    ------
    UserError
        If there is no such name or path, or the files are damaged, of another schema, or of different formats.
    """
    if str(name) == "mini":
        return DataSet("mini", "mini", REVISION, NEEDLES, "mrcr", _mini)
    if str(name) in ruler.MAKERS:
        return DataSet.made(str(name), *ruler.MAKERS[str(name)])
    if str(name) in NAMES:
        return DataSet(hub.HUB, "mrcr", hub.REVISION, hub.NEEDLES, "mrcr", _hub)
    path = Path(name)
    if isfile(path):
        return _from_files(str(name), {path.stem: path})
    if isdir(path):
        return _from_files(str(name), _data_files(path))
    raise UserError(f"{unknown('data', str(name), NAMES)}; or the path of a file or a folder, and there is none")


def _mini(needles: int | None, limit: int | None, seed: int) -> Iterator[Sample]:
    counts = NEEDLES if needles is None else (needles,)
    return chain.from_iterable(mini(n, MINI_SAMPLES if limit is None else limit, seed) for n in counts)


def _hub(needles: int | None, limit: int | None, seed: int) -> Iterator[Sample]:
    counts = [n for n in hub.NEEDLES if needles in (None, n)]
    return samples(chain.from_iterable(hub.hub_records(n) for n in counts), needles)


def _from_files(name: str, paths: Mapping[str, Path]) -> DataSet:
    """A data set of files by the names that ids are made of."""
    try:
        formats = {_format(path): path for path in paths.values()}
        if len(formats) > 1:
            (one, first), (other, second) = list(formats.items())[:2]
            raise UserError(f"{name} mixes formats: {first.name} is {one}, {second.name} is {other}; name one file")
        (format,) = formats
        files = [_File(path, label, format) for label, path in paths.items()]
        needles = [_needles(file) for file in files]
        revision = _digest(paths.values())
    except OSError as error:
        raise UserError(f"cannot read {error.filename or name} ({error.strerror})") from error
    return DataSet(
        name=name,
        format=format,
        revision=revision,
        needles=tuple(sorted(set().union(*needles))),
        task=TASK_OF.get(format, "transcribe"),
        draw=partial(_draw, list(zip(files, needles, strict=True))),
    )


def _draw(
    files: Sequence[tuple["_File", set[int]]], needles: int | None, limit: int | None, seed: int
) -> Iterator[Sample]:
    return _samples([file for file, has in files if needles is None or needles in has], needles)


def _samples(files: Sequence["_File"], needles: int | None = None) -> Iterator[Sample]:
    """The samples of files of one format; those of MRCR are numbered through."""
    if files and files[0].format == "mrcr":
        return samples(chain.from_iterable(_mrcr_records(file.path) for file in files), needles)
    return chain.from_iterable(READERS[file.format](file.path, file.label) for file in files)


def _needles(file: "_File") -> set[int]:
    """The needle counts of a file. JSON is read to its end for them, so that what is damaged is known at once."""
    if file.format in ("convbench", "text"):
        return {0}
    if _is_parquet(file.path):
        return parquet_needles(file.path)
    return {sample.needles for sample in _samples([file])}


def _mrcr_records(path: Path) -> Iterator[tuple[str, Any]]:
    if _is_parquet(path):
        return parquet_records(path)
    return ((f"{path}, line {item.line}", item.value) for item in json_values(path))


TASK_OF = {"mrcr": "mrcr", "glyph": "mrcr", "ruler": "ruler", "longbench": "longbench"}
"""What is asked of a format that has questions; chats without any are transcribed."""

READERS: dict[str, Callable[[Path, str], Iterator[Sample]]] = {
    "glyph": lambda path, label: glyph_samples(path),
    "chat": chat_samples,
    "convbench": convbench_samples,
    "ruler": ruler_samples,
    "longbench": longbench_samples,
    "text": lambda path, label: iter([text_sample(path, label)]),
}


def _format(path: Path) -> str:
    """What a file holds, by its first bytes or its first JSON value."""
    if path.suffix.lower() in IMAGES:
        raise UserError(
            f"{path} is called an image, and data are chats: JSON, Parquet or text, which become pages here"
        )
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(b"PK\x03\x04"):
        return "convbench"
    if head.startswith(PARQUET):
        return "mrcr"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        try:
            first = next(json_values(path), None)
        except UserError:
            if path.suffix in SUFFIXES:
                raise
            return "text"  # it only begins like JSON
        if first is None:
            raise UserError(f"{path} holds no records")
        return _json_format(first.value)
    if path.suffix in SUFFIXES:
        raise UserError(
            f"{path} is {'empty' if not head.strip() else f'not {path.suffix[1:]}, whatever its name says'}"
        )
    _check_text(path, head)
    return "text"


def _check_text(path: Path, head: bytes) -> None:
    """Refuse what cannot be UTF-8, by its start; a character may be cut at its end."""
    try:
        getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError as error:
        line = head.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: it is not UTF-8; convert it (iconv -t UTF-8)") from error


def _json_format(value: object) -> str:
    if isinstance(value, dict) and is_ruler(value):
        return "ruler"
    if isinstance(value, dict) and is_longbench(value):
        return "longbench"
    if isinstance(value, dict) and sum(field in value for field in glyph.FIELDS) >= 3:
        return "glyph"
    return "mrcr" if isinstance(value, dict) and sum(field in value for field in mrcr.FIELDS) >= 2 else "chat"


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == PARQUET


def _data_files(folder: Path) -> dict[str, Path]:
    """The data files of a folder, sorted; of several kinds, those of the hub's layout: Parquet."""
    entries = list(islice(folder.rglob("*"), MOST_ENTRIES + 1))
    if len(entries) > MOST_ENTRIES:
        raise UserError(f"{folder} holds over {MOST_ENTRIES:,} files and folders; name the one with the data")
    hidden = [any(part.startswith(".") for part in path.relative_to(folder).parts) for path in entries]
    files = sorted(
        p for p, hide in zip(entries, hidden, strict=True) if p.suffix in SUFFIXES and not hide and isfile(p)
    )
    files = [path for path in files if path.suffix == ".parquet"] or files
    if not files:
        raise UserError(f"{folder} holds no data: expected {', '.join(SUFFIXES)} files")
    if len(files) > MOST_FILES:
        raise UserError(f"{folder} holds {len(files):,} data files; the most is {MOST_FILES}. Name one of them")
    return {path.relative_to(folder).as_posix(): path for path in files}


def _digest(paths: Iterable[Path]) -> str:
    """A digest of what the files hold, in their order, that does not depend on their names."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
