"""Values of a rendering configuration, each read by a function of its key and what the JSON holds.

All raise `UserError`, naming the key, for a value of another kind.
"""

import re
from reprlib import repr as brief

from freqq.errors import UserError
from freqq.pages.markup import Color


def number(key: str, value: object) -> float:
    """A finite or infinite number, as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{key} {brief(value)}: must be a number")
    try:
        return float(value)
    except OverflowError as error:
        raise UserError(f"{key}: the number is too large") from error


def maybe_number(key: str, value: object) -> float | None:
    """A number, or nothing."""
    return None if value is None else number(key, value)


def text(key: str, value: object) -> str:
    """A string."""
    if not isinstance(value, str):
        raise UserError(f"{key} {brief(value)}: must be a string")
    return value


def switch(key: str, value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise UserError(f"{key} {brief(value)}: must be true or false")
    return value


def size(key: str, value: object) -> tuple[float, float]:
    """Width and height, from a list or a string with a comma."""
    sides = value.split(",") if isinstance(value, str) else value
    if isinstance(sides, list | tuple) and len(sides) == 2:
        try:
            return float(sides[0]), float(sides[1])
        except (TypeError, ValueError, OverflowError):
            pass
    raise UserError(f'{key} {brief(value)}: must be width and height in points, like "595,842"')


def color(key: str, value: object) -> Color:
    """An opaque colour, red, green and blue of 0 to 255."""
    match = re.fullmatch(r"(?:#|0x)([0-9a-fA-F]{6})", value) if isinstance(value, str) else None
    if match is None:
        raise UserError(f"{key} {brief(value)}: must be a colour like #000000")
    red, green, blue = bytes.fromhex(match[1])
    return red, green, blue


def maybe_color(key: str, value: object) -> Color | None:
    """A colour, or nothing."""
    return None if value is None else color(key, value)
