"""Unknown names: say what was meant."""

from collections.abc import Iterable
from difflib import get_close_matches

from freqq.errors import UserError


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that is none of `known`: suggests the nearest, if one is near, and lists them all."""
    names = list(known)
    typed = name.lower()
    near = [known for known in names if typed and known.startswith(typed)] or get_close_matches(typed, names, 1, 0.5)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return UserError(f"unknown {kind} {name!r}: {meant}known: {', '.join(names) or 'none'}")
