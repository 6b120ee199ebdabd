"""ConvBench: a workbook of chats about an image, with three turns of instruction and answer each."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import openpyxl

from freqq.data.fields import bounded
from freqq.data.sample import Sample, Turn
from freqq.errors import UserError

TURNS = ({"1", "first"}, {"2", "second"}, {"3", "third"})
KINDS = {"user": {"instruction", "question"}, "assistant": {"answer", "reference"}}
OTHER = {"category", "demands", "caption"}
"""A column with one of these words in its name is not one of the six."""

MOST_BYTES = 2**28
"""Largest unpacked size of a workbook. ConvBench's is far below a tenth of it."""

MOST_COLUMNS = 256
MOST_ROWS = 2**20
"""Most rows of a sheet: the format's own limit."""

Header = dict[tuple[str, int], int]
"""The column of each (``user`` or ``assistant``, turn)."""


class NotConvBench(UserError):
    """A workbook with other columns."""


def convbench_samples(path: Path, name: str) -> Iterator[Sample]:
    """The chats of a ConvBench workbook, row by row, with ids ``NAME-ROW``. They have no question: transcribe them.

    Reads the first sheet that has the six columns under any usual names: ``The_first_turn_instruction`` and
    ``first_turn_answer`` (the released file), ``instruction_1`` and ``reference_1``, and the like. An empty answer
    becomes an empty turn. The image that a chat is about is not read.

    Raises
    ------
    NotConvBench
        If a column is missing (it is named).
    UserError
        If it is not a workbook, unpacks to over `MOST_BYTES`, or an instruction is empty.
    """
    try:
        _check_size(path)
        with path.open("rb") as file:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            yield from _samples(path, name, book)
    except UserError:
        raise
    except Exception as error:  # whatever a damaged workbook makes zipfile, expat and openpyxl raise
        raise UserError(f"{path} is not a whole xlsx workbook ({' '.join(str(error).split())[:120]})") from error


def _samples(path: Path, name: str, book: Any) -> Iterator[Sample]:
    rows, header = _sheet(path, book)
    for number, row in rows:
        where = f"{path}, row {number}"
        if all(cell in (None, "") for cell in row):
            continue
        cells = {place: _cell(row, column, where) for place, column in header.items()}
        for turn in (1, 2, 3):
            if not cells["user", turn]:
                raise UserError(f"{where}: the instruction of turn {turn} is empty")
        turns = tuple(Turn(role, cells[role, turn]) for turn in (1, 2, 3) for role in ("user", "assistant"))
        yield Sample(f"{name}-{number}", turns=turns)


def _sheet(path: Path, book: Any) -> tuple[Iterator[tuple[int, Sequence[Any]]], Header]:
    """The numbered rows below the header of the first sheet that has the columns, and the header."""
    missing = "there is no sheet"
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # the size stated in the file may be wrong
        rows = enumerate(sheet.iter_rows(values_only=True, max_col=MOST_COLUMNS, max_row=MOST_ROWS), 1)
        _, names = next(rows, (0, ()))
        header, lacks = find_columns(names)
        if not lacks:
            return rows, header
        missing = f"sheet {sheet.title!r} has no column {lacks!r}"
    raise NotConvBench(f"{path} is not ConvBench: {missing}")


def find_columns(names: Sequence[object]) -> tuple[Header, str]:
    """The columns of instructions and answers, and an example name for the first missing one (empty: none missing)."""
    header: Header = {}
    for column, name in enumerate(names):
        words = set(re.findall(r"[a-z]+|\d+", str(name or "").lower()))
        for turn, numbers in enumerate(TURNS, 1):
            for role, kinds in KINDS.items():
                if words & numbers and words & kinds and not words & OTHER:
                    header.setdefault((role, turn), column)
    for turn in (1, 2, 3):
        for role, example in (("user", "instruction"), ("assistant", "answer")):
            if (role, turn) not in header:
                return header, f"{example}_{turn}"
    return header, ""


def _cell(row: Sequence[Any], column: int, where: str) -> str:
    cell = row[column] if column < len(row) else None
    return "" if cell is None else bounded(str(cell), where).strip()


def _check_size(path: Path) -> None:
    """A small zip file can unpack to more than the memory; `zipfile` never unpacks more than an entry states."""
    with ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MOST_BYTES:
        raise UserError(f"{path} unpacks to {size:,} bytes; the largest workbook that is read has {MOST_BYTES:,}")
