"""The formats of data files: how each is recognised by its content, and read."""

from codecs import getincrementaldecoder
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from freqq.data import glyph, mrcr
from freqq.data.chat import chat_samples, text_sample
from freqq.data.chatgpt import chatgpt_samples, is_export
from freqq.data.convbench import NotConvBench, convbench_samples
from freqq.data.glyph import glyph_samples
from freqq.data.json_values import json_values
from freqq.data.mrcr import parquet_needles, parquet_records
from freqq.data.sample import Sample
from freqq.data.sharegpt import is_sharegpt, sharegpt_samples
from freqq.data.suite_records import is_longbench, is_ruler, longbench_samples, ruler_samples
from freqq.data.unpacked import bare, opened, packing
from freqq.errors import UserError

TEXTS = (".txt",)
JSONS = (".jsonl", ".json", ".ndjson")
SUFFIXES = (".parquet", ".xlsx", *JSONS, *TEXTS)
"""The files of a folder that are data, where JSON and text may be packed. A single file may be called anything."""

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pdf")
"""What no chat is called."""

TABLES = (".csv", ".tsv", ".tab", ".psv")
"""Tables that are text, so that only their names identify them."""

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
"""What other files begin with."""

TAR, TAR_AT = b"ustar", 257
HEAD = 4096


@dataclass(frozen=True)
class File:
    """A data file: where it is, and by what name the ids of its samples are made."""

    path: Path
    label: str


Read = Callable[[Sequence[File], int | None], Iterator[Sample]]
"""The samples of files, of one needle count or (None) of all; may leave it to the caller to pass over others."""


@dataclass(frozen=True)
class Format:
    """A kind of data file.

    Parameters
    ----------
    name, about : str
        Its short name, and what it is in an error message.
    task : str
        What the data are made for, a name of `freqq.data.tasks.TASKS`.
    read : callable
        See `Read`.
    recognise : callable
        Whether a JSON file is of this format, by its first value. `find_format` recognises other formats.
    """

    name: str
    about: str
    task: str
    read: Read
    recognise: Callable[[Any], bool] = lambda value: False


def each(read: Callable[[Path, str], Iterator[Sample]]) -> Read:
    """Files that are read one by one, each by its path and label."""
    return lambda files, needles: chain.from_iterable(read(file.path, file.label) for file in files)


def has(fields: Sequence[str], at_least: int) -> Callable[[Any], bool]:
    """Whether a value is an object with so many of some fields."""
    return lambda value: isinstance(value, dict) and sum(field in value for field in fields) >= at_least


def mrcr_samples(files: Sequence[File], needles: int | None, ids: Collection[str] | None = None) -> Iterator[Sample]:
    """Records of MRCR, which are numbered through, whatever files they are in; see `freqq.data.mrcr.samples`."""
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
    Format("longbench", "LongBench (JSON)", "longbench", each(longbench_samples), is_longbench),
    Format("glyph", "Glyph's files (JSON)", "mrcr", each(glyph_samples), has(glyph.FIELDS, 3)),
    MRCR,
    Format("chatgpt", "ChatGPT's export (JSON)", "transcribe", each(chatgpt_samples), is_export),
    Format("sharegpt", "ShareGPT (JSON)", "transcribe", each(sharegpt_samples), is_sharegpt),
    # Takes all others, for it says of each line what it lacks.
    Format("chat", "OpenAI messages (JSON)", "transcribe", each(chat_samples), lambda value: True),
)
"""The formats of JSON arrays, JSON Lines and single values, asked in this order."""


def known() -> str:
    """What can be read, for error messages."""
    formats = ", ".join(format.about for format in (*JSON_FORMATS, CONVBENCH, TEXT))
    return f"data are chats, as {formats}; JSON and text may be packed (.gz, .zst)"


def find_format(path: Path) -> Format:
    """What a file holds, by its first bytes or its first JSON value.

    Raises
    ------
    UserError
        If that is nothing that is known, damaged, or empty.
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
        return MRCR if head.startswith(PARQUET) else _of_zip(path)
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        return _of_json(path, is_named=inner in JSONS)
    if len(head) < HEAD and not head.removeprefix(b"\xef\xbb\xbf").strip():
        raise UserError(f"{path} is empty")
    if inner in SUFFIXES and inner not in TEXTS:
        raise UserError(f"{path} is not {inner[1:]}, despite its name")
    _check_text(path, head)
    return TEXT


def _of_json(path: Path, is_named: bool) -> Format:
    try:
        first = next(json_values(path), None)
    except UserError:
        if is_named:
            raise
        return TEXT  # it only begins like JSON
    if first is None:
        raise UserError(f"{path} holds no records")
    return next(format for format in JSON_FORMATS if format.recognise(first.value))


def _of_zip(path: Path) -> Format:
    try:
        with ZipFile(path) as archive:
            is_workbook = any(name.startswith("xl/") for name in archive.namelist())
    except (BadZipFile, ValueError, NotImplementedError):
        is_workbook = True  # which says that it is damaged
    if not is_workbook:
        raise UserError(f"{path} is a zip archive, not a workbook: unpack it and give its folder or a file")
    return CONVBENCH


def _check_text(path: Path, head: bytes) -> None:
    """Refuse what cannot be UTF-8, by its start; a character may be cut at its end."""
    try:
        getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError as error:
        line = head.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: it is not UTF-8; convert it (iconv -t UTF-8)") from error


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, or begins so."""
    with path.open("rb") as file:
        return file.read(4) == PARQUET


def needles_in(format: Format, file: File, whole: bool) -> set[int]:
    """The needle counts of a file.

    JSON is read to its end for them, so that what is damaged is known at once. Parquet, workbooks and text need not be:
    `whole` has them read nevertheless.
    """
    if not whole and format in (CONVBENCH, TEXT):
        return {0}
    if not whole and is_parquet(file.path):
        return parquet_needles(file.path)
    return {sample.needles for sample in format.read([file], None)}
