"""Where codebooks are, and reading their files without trusting them."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load

from freqq.errors import UserError

ELSEWHERE = "FREQQ_CODEBOOKS"
"""Environment variable: a folder of further codebooks."""

ID_BYTES = 8
MOST_FILE_BYTES = 1 << 30
"""A codebook of C channels of tokens takes about 2·C² + 3,600·C bytes: 0.6 GB for Qwen3-VL 8B, whose four levels have
16,384."""


class MissingCodebook(UserError):
    """The codebook that a stream or a parameter names is not here."""

    def __init__(self, name: bytes) -> None:
        super().__init__(f"the codebook {name.hex()} was not found: set {ELSEWHERE} to the folder that contains it")


def codebook_id(file: bytes) -> bytes:
    """The first bytes of the SHA-256 of a codebook's file; streams name it so."""
    return hashlib.sha256(file).digest()[:ID_BYTES]


class Identified(Protocol):
    """A codebook, by what streams call it."""

    @property
    def id(self) -> bytes:
        """See `codebook_id`."""


Book = TypeVar("Book", bound=Identified)


def named(books: Iterable[Book], name: bytes) -> Book:
    """The codebook that a stream names.

    Raises
    ------
    MissingCodebook
        If it is not there.
    """
    for book in books:
        if book.id == name:
            return book
    raise MissingCodebook(name)


def codebook_files(shipped: Path, mark: str) -> Iterator[Path]:
    """The files of one kind of codebook, those of the folder that `ELSEWHERE` names first.

    Parameters
    ----------
    shipped : Path
        The folder of those that come with the package.
    mark : str
        The array by which this kind is known. A file that cannot be looked into is given, too: reading it tells why.
    """
    folders = [Path(os.environ[ELSEWHERE])] if os.environ.get(ELSEWHERE) else []
    for folder in [*folders, shipped]:
        for path in sorted(folder.glob("*.safetensors")):
            if mark in _names(path, mark):
                yield path


@cache
def _names(path: Path, unknown: str) -> list[str]:
    try:
        with safe_open(path, "np") as file:
            return list(file.keys())
    except (OSError, SafetensorError):
        return [unknown]


def read_arrays(
    path: Path, what: str, dtypes: Mapping[str, str], fault: Callable[[dict[str, NDArray[Any]]], str]
) -> tuple[bytes, dict[str, NDArray[Any]]]:
    """A codebook's file and the arrays in it. Nothing in it is trusted.

    Parameters
    ----------
    what : str
        What it has to be, such as ``codebook of tokens``.
    dtypes : mapping
        The arrays that it has to have, and their types.
    fault : callable
        What else keeps the arrays from being one; nothing if they are one.

    Raises
    ------
    UserError
        If it cannot be read, or is none.
    """
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise UserError(f"{path} is too large for a codebook")
        data = path.read_bytes()
        arrays = load(data)
    except OSError as error:
        raise UserError(f"the codebook {path} cannot be read: {error.strerror}") from error
    except (SafetensorError, ValueError) as error:
        raise UserError(f"{path} is not a codebook: {error}") from error
    lacking = [name for name, dtype in dtypes.items() if name not in arrays or arrays[name].dtype != dtype]
    if reason := f"it has no {lacking[0]} of type {dtypes[lacking[0]]}" if lacking else fault(arrays):
        raise UserError(f"{path} is not a {what}: {reason}")
    return data, arrays
