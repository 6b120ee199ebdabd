"""Names that a user types: several of them at once, and what was meant by an unknown one."""

from collections.abc import Iterable

from freqq.errors import UserError


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that is none of `known`: suggests the nearest, if one is near, and lists them all."""
    from difflib import get_close_matches  # only a mistake has to wait for it

    names = list(known)
    typed = name.lower()
    near = [known for known in names if typed and known.startswith(typed)] or get_close_matches(typed, names, 1, 0.5)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return UserError(f"unknown {kind} {name!r}: {meant}known: {', '.join(names) or 'none'}")


def several(option: str, given: object) -> tuple[str, ...]:
    """The values of an option that takes several: with commas, given again and again, or both.

    Parameters
    ----------
    option : str
        Its name, such as ``level``.
    given : a value or an iterable of values
        As a shell or a program gives it.

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
    """The value of an option that takes one where other commands take several.

    Raises
    ------
    UserError
        If there are several, or none.
    """
    found = several(option, given)
    if len(found) != 1:
        raise UserError(f"--{option} {', '.join(found)}: this command takes one {option}")
    return found[0]
