"""Read JSON arrays, JSON Lines and single JSON values, one record at a time."""

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import Any, BinaryIO

from freqq.data.fields import MOST_CHARACTERS
from freqq.data.unpacked import opened
from freqq.errors import UserError

CHUNK = 2**20
"""Bytes read at a time."""

LONGEST_TOKEN = 12
"""An error this close to the end of the text read so far may be a literal, escape or number that continues after it."""

_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\r\n]*+")


@dataclass(frozen=True)
class Item:
    """A record of a JSON file.

    Parameters
    ----------
    value : dict or list
        The decoded record.
    line : int
        The line that it begins on, from 1.
    array : int, optional
        Index of the outermost array that contains it; None for a top-level value.
    """

    value: Any
    line: int
    array: int | None


def json_values(path: Path) -> Iterator[Item]:
    """The records of a JSON file (possibly compressed): the elements of its array, its lines, or its only value.

    Holds one record and one chunk in memory at a time.

    Raises
    ------
    UserError
        With file and line, if it is not JSON, not UTF-8, nested too deeply, or a record is too long.
    """
    with opened(path) as file:
        yield from _Reader(path, file).items()


class _Reader:
    """A window on a file's text that grows until the next value is complete, and drops what was decoded."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.window, self.at, self.line, self.ended = "", 0, 1, False

    def items(self) -> Iterator[Item]:
        arrays = 0
        while head := self.peek():
            if head == "[":
                yield from self.elements(arrays)
                arrays += 1
            else:
                line = self.line
                yield Item(self.value(), line, None)

    def elements(self, array: int) -> Iterator[Item]:
        """The elements of the array that begins here."""
        self.at += 1
        head = self.peek()
        while head != "]":
            line = self.line
            yield Item(self.value(), line, array)
            if (head := self.peek()) not in (",", "]"):
                raise self.error("',' or ']' is missing after an element of the array")
            if head == ",":
                self.at += 1
                self.peek()
        self.at += 1

    def peek(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            blank = _BLANK.match(self.window, self.at)
            assert blank is not None  # the pattern also matches the empty string
            self.line += blank[0].count("\n")
            self.at = blank.end()
            if self.at < len(self.window):
                return self.window[self.at]
            if self.ended:
                return ""
            self.read()

    def value(self) -> Any:
        """Decode the value that begins here, doubling the window while the value is cut off."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self.window, self.at)
            except RecursionError as error:
                raise self.error("it is nested too deeply") from error
            except JSONDecodeError as error:
                cut = error.pos >= len(self.window) - LONGEST_TOKEN or error.msg.startswith("Unterminated string")
                if self.ended or not cut:
                    lines = self.window.count("\n", self.at, error.pos)
                    raise self.error(error.msg, lines) from error
                self.read()
            except ValueError as error:  # an integer with more digits than Python converts
                raise self.error(str(error)) from error
            else:
                if not isinstance(value, dict | list):
                    raise self.error(f"expected an object or a list, not {self.window[self.at : end][:20]}")
                self.line += self.window.count("\n", self.at, end)
                self.at = end
                return value

    def read(self) -> None:
        """Drop what was decoded and read as much again as is left, at least a chunk."""
        self.window, self.at = self.window[self.at :], 0
        if len(self.window) > MOST_CHARACTERS:
            raise self.error(f"it is longer than {MOST_CHARACTERS:,} characters")
        data = self.file.read(max(CHUNK, len(self.window)))
        self.ended = not data
        try:
            self.window += self.decoder.decode(data, final=self.ended)
        except UnicodeDecodeError as error:
            lines = self.window.count("\n") + error.object.count(b"\n", 0, error.start)
            line = self.line + lines
            raise UserError(f"{self.path}, line {line}: it is not UTF-8; convert it (iconv -t UTF-8)") from error

    def error(self, what: str, lines: int = 0) -> UserError:
        start = f" of a value that begins on line {self.line}" if lines else ""
        return UserError(f"{self.path}, line {self.line + lines}{start}: malformed JSON: {what}")
