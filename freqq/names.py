"""Names that users type: lists of names, and suggestions for unknown ones."""

from collections.abc import Iterable

from freqq.errors import UserError


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not in `known`: suggests the nearest, if there is one, and lists all."""
    from difflib import get_close_matches  # imported only when needed

    names = list(known)
    typed = name.lower()
    near = [known for known in names if typed and known.startswith(typed)] or get_close_matches(typed, names, 1, 0.5)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return UserError(f"unknown {kind} {name!r}: {meant}known: {', '.join(names) or 'none'}")


def several(option: str, given: object) -> tuple[str, ...]:
    """The values of an option that takes several: separated by commas, repeated, or both.

    Parameters
    ----------
    option : str
        Its name, such as ``level``.
    given : a value or an iterable of values

    Raises
    ------
    UserError
        If a value is given twice.
    """
    values = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    found = [part for value in values for part in map(str.strip, str(value).split(",")) if part]
    if twice := [value for value in found if found.count(value) > 1]:
        raise UserError(f"--{option} {twice[0]} is given twice")
    return tuple(found)


def single(option: str, given: object) -> str:
    """The value of an option that takes one value here and several in other commands.

    Raises
    ------
    UserError
        If there are several, or none.
    """
    found = several(option, given)
    if len(found) != 1:
        raise UserError(f"--{option} {', '.join(found)}: this command takes one {option}")
    return found[0]
