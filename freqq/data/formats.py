"""The formats of data files: how each is recognized by its content, and read."""

from codecs import getincrementaldecoder
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from freqq.data import glyph, mrcr, suite_records
from freqq.data.chat import chat_samples, text_sample
from freqq.data.chatgpt import chatgpt_samples, is_export
from freqq.data.convbench import NotConvBench, convbench_samples
from freqq.data.glyph import glyph_samples
from freqq.data.json_values import json_values
from freqq.data.mrcr import parquet_needles, parquet_records
from freqq.data.sample import Sample
from freqq.data.sharegpt import is_sharegpt, sharegpt_samples
from freqq.data.suite_records import is_ruler, longbench_samples, ruler_samples
from freqq.data.unpacked import bare, opened, packing
from freqq.errors import UserError

TEXTS = (".txt",)
JSONS = (".jsonl", ".json", ".ndjson")
SUFFIXES = (".parquet", ".xlsx", *JSONS, *TEXTS)
"""Data files in a folder; JSON and text may be compressed. A single file may have any name."""

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pdf")
"""Refused by name."""

TABLES = (".csv", ".tsv", ".tab", ".psv")
"""Refused by name: their content is plain text."""

PARQUET, ZIP = b"PAR1", b"PK\x03\x04"
FOREIGN = {
    b"SQLite format 3\0": "an SQLite database",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "a file of an old Office, such as xls",
    b"ARROW1\0\0": "a table of Arrow (Feather)",
    b"Obj\x01": "a table of Avro",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"%PDF-": "a PDF",
    b"\xfd7zXZ\0": "an xz file",
    b"BZh91AY&SY": "a bzip2 file",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
}
"""First bytes of other known files."""

TAR, TAR_AT = b"ustar", 257
HEAD = 4096


@dataclass(frozen=True)
class File:
    """A data file, and the label that the ids of its samples begin with."""

    path: Path
    label: str


Read = Callable[[Sequence[File], int | None], Iterator[Sample]]
"""``read(files, needles)``: the samples of a needle count (None: all); may include others, which the caller skips."""


@dataclass(frozen=True)
class Format:
    """A kind of data file.

    Parameters
    ----------
    name, about : str
        Its short name, and its name in error messages.
    task : str
        Its default task, a name of `freqq.data.tasks.TASKS`.
    read : callable
        See `Read`.
    recognize : callable
        Whether a JSON file is of this format, by its first value. `find_format` recognizes other formats.
    """

    name: str
    about: str
    task: str
    read: Read
    recognize: Callable[[Any], bool] = lambda value: False


def each(read: Callable[[Path, str], Iterator[Sample]]) -> Read:
    """A `Read` that reads files one by one, each by its path and label."""
    return lambda files, needles: chain.from_iterable(read(file.path, file.label) for file in files)


def has(fields: Sequence[str], at_least: int) -> Callable[[Any], bool]:
    """A test whether a value is an object with at least so many of some fields."""
    return lambda value: isinstance(value, dict) and sum(field in value for field in fields) >= at_least


def mrcr_samples(files: Sequence[File], needles: int | None, ids: Collection[str] | None = None) -> Iterator[Sample]:
    """MRCR's records, numbered across all files; see `freqq.data.mrcr.samples`."""
    return mrcr.samples(chain.from_iterable(_mrcr_records(file.path) for file in files), needles, ids)


def _mrcr_records(path: Path) -> Iterator[tuple[str, Any]]:
    if is_parquet(path):
        return parquet_records(path)
    return ((f"{path}, line {item.line}", item.value) for item in json_values(path))


def _convbench(path: Path, label: str) -> Iterator[Sample]:
    try:
        yield from convbench_samples(path, label)
    except NotConvBench as error:
        raise UserError(f"{error}; {known()}") from error


MRCR = Format("mrcr", "MRCR (Parquet, JSON)", "mrcr", mrcr_samples, has(mrcr.FIELDS, 2))
CONVBENCH = Format("convbench", "ConvBench's workbook", "transcribe", each(_convbench))
TEXT = Format("text", "plain text", "transcribe", each(lambda path, label: iter([text_sample(path, label)])))
JSON_FORMATS = (
    Format("ruler", "RULER (JSON)", "ruler", each(ruler_samples), is_ruler),
    Format("longbench", "LongBench (JSON)", "longbench", each(longbench_samples), has(suite_records.FIELDS, 4)),
    Format("glyph", "Glyph's files (JSON)", "mrcr", each(glyph_samples), has(glyph.FIELDS, 3)),
    MRCR,
    Format("chatgpt", "ChatGPT's export (JSON)", "transcribe", each(chatgpt_samples), is_export),
    Format("sharegpt", "ShareGPT (JSON)", "transcribe", each(sharegpt_samples), is_sharegpt),
    # Last: it takes everything else, and its errors say what each line lacks.
    Format("chat", "OpenAI messages (JSON)", "transcribe", each(chat_samples), lambda value: True),
)
"""The formats of JSON arrays, JSON Lines and single values; the first that recognizes a file reads it."""


def known() -> str:
    """The known formats, for error messages."""
    formats = ", ".join(format.about for format in (*JSON_FORMATS, CONVBENCH, TEXT))
    return f"data are chats, as {formats}; JSON and text may be packed (.gz, .zst)"


def find_format(path: Path) -> Format:
    """The format of a file, by its first bytes or its first JSON value.

    Raises
    ------
    UserError
        If it is unknown, damaged, or empty.
    """
    inner = bare(path).suffix.lower()
    if inner in IMAGES:
        raise UserError(f"{path} has the name of an image; {known()}")
    if inner in TABLES:
        raise UserError(f"{path} has the name of a table; {known()}")
    with opened(path) as file:
        head = file.read(HEAD)
    if head[TAR_AT:].startswith(TAR):
        raise UserError(f"{path} is a tar archive: unpack it and give its folder or a file")
    if foreign := next((what for magic, what in FOREIGN.items() if head.startswith(magic)), None):
        raise UserError(f"{path} is {foreign}; {known()}")
    if head.startswith((ZIP, PARQUET)):
        if packing(path):
            raise UserError(f"{path} is packed twice: unpack it once")
        return MRCR if head.startswith(PARQUET) else _zip_format(path)
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        return _json_format(path, is_named=inner in JSONS)
    if len(head) < HEAD and not head.removeprefix(b"\xef\xbb\xbf").strip():
        raise UserError(f"{path} is empty")
    if inner in SUFFIXES and inner not in TEXTS:
        raise UserError(f"{path} is not {inner[1:]}, despite its name")
    _check_text(path, head)
    return TEXT


def _json_format(path: Path, is_named: bool) -> Format:
    try:
        first = next(json_values(path), None)
    except UserError:
        if is_named:
            raise
        return TEXT  # text that only begins like JSON
    if first is None:
        raise UserError(f"{path} holds no records")
    return next(format for format in JSON_FORMATS if format.recognize(first.value))


def _zip_format(path: Path) -> Format:
    try:
        with ZipFile(path) as archive:
            is_workbook = any(name.startswith("xl/") for name in archive.namelist())
    except (BadZipFile, ValueError, NotImplementedError):
        is_workbook = True  # reading it will report the damage
    if not is_workbook:
        raise UserError(f"{path} is a zip archive, not a workbook: unpack it and give its folder or a file")
    return CONVBENCH


def _check_text(path: Path, head: bytes) -> None:
    """Refuse a file whose beginning is not UTF-8; its last character may be cut off."""
    try:
        getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError as error:
        line = head.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: it is not UTF-8; convert it (iconv -t UTF-8)") from error


def is_parquet(path: Path) -> bool:
    """Whether a file begins like Parquet."""
    with path.open("rb") as file:
        return file.read(4) == PARQUET


def needles_in(format: Format, file: File, whole: bool) -> set[int]:
    """The needle counts of a file.

    JSON is always read to its end, which also finds damage early; Parquet, workbooks and text only with `whole`.
    """
    if not whole and format in (CONVBENCH, TEXT):
        return {0}
    if not whole and is_parquet(file.path):
        return parquet_needles(file.path)
    return {sample.needles for sample in format.read([file], None)}
