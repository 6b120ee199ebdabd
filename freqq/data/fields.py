"""Fields of records from files: checked for type and size, with the location in the error."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from freqq.errors import UserError

MOST_CHARACTERS = 2**26
"""Longest text of a record (67 million characters). MRCR's longest prompt has 5 million."""

MOST_TEXTS = 10_000
"""Longest list of texts of a record."""

Record = Mapping[str, Any]


def as_object(found: object, where: str) -> Record:
    """The value, if it is an object; `where` names it in the error."""
    if not isinstance(found, Mapping):
        raise UserError(f"{where}: expected an object, not {kind(found)}")
    return found


def value(record: Record, name: str, where: str) -> Any:
    """A field of a record; `where` names the record in the error."""
    if name not in record:
        raise UserError(f"{where}: field {name!r} is missing")
    return record[name]


def text(record: Record, name: str, where: str) -> str:
    """A text field.

    Raises
    ------
    UserError
        If it is missing, not text, or longer than `MOST_CHARACTERS`.
    """
    found = value(record, name, where)
    if not isinstance(found, str):
        raise UserError(f"{where}: field {name!r} has to be text, not {kind(found)}")
    return bounded(found, f"{where}: field {name!r}")


def texts(record: Record, name: str, where: str) -> tuple[str, ...]:
    """A field that is a list of at most `MOST_TEXTS` texts; a single text counts as a list of one.

    Raises
    ------
    UserError
        If it is missing, empty, too long, or holds anything else.
    """
    found = value(record, name, where)
    listed = [found] if isinstance(found, str) else found
    if not isinstance(listed, list) or not listed or not all(isinstance(one, str) for one in listed):
        raise UserError(f"{where}: field {name!r} has to be a list of texts")
    if len(listed) > MOST_TEXTS:
        raise UserError(f"{where}: field {name!r} has {len(listed):,} texts; the most is {MOST_TEXTS:,}")
    return tuple(bounded(one, f"{where}: field {name!r}") for one in listed)


def bounded(found: str, where: str) -> str:
    """A text of bounded length in which lone surrogates, which cannot be encoded, are replaced by U+FFFD."""
    if len(found) > MOST_CHARACTERS:
        raise UserError(f"{where} has {len(found):,} characters; the most is {MOST_CHARACTERS:,}")
    try:
        found.encode()
    except UnicodeEncodeError:
        return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return found


def listed(names: Iterable[object]) -> str:
    """The first names of a file's fields or columns, quoted and truncated to fit on a line."""
    shown = [repr(str(name)[:40]) for name in islice(names, 12)]
    return ", ".join(shown) or "nothing"


def kind(found: object) -> str:
    """A value's JSON type, in words."""
    names = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return "null" if found is None else names.get(type(found), type(found).__name__)
