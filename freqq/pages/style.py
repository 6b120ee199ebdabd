"""The px-based page style: sizes, margins, font. All lengths are in pixels."""

import re
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from importlib.util import find_spec
from os.path import isfile  # false, rather than an error, for a name that no file can have
from pathlib import Path

from freqq.errors import UserError

MAX_PAGE_SIDE = 8192


@dataclass(frozen=True)
class Style:
    """The look of a page.

    Parameters
    ----------
    width, height : int
        Page size.
    margin_left, margin_top, margin_right, margin_bottom : int
    font : str
        A font file, or the name of one of the free fonts that come with matplotlib (``DejaVuSans``,
        ``DejaVuSansMono``). See `freqq.pages.fonts`.
    font_size : float
        Em size. At ``14336 / 1233`` px, characters of DejaVu Sans Mono are exactly 7 px wide.
    line_height : int
        Distance of two baselines.
    paragraph_gap : int
        Extra space before each message except a page's first.
    crop_to : int
        Crop the last page below its text to a multiple of this many pixels; 0 keeps the whole page.
    user_label, assistant_label : str
        Label before a message of the role.
    """

    width: int = 595
    height: int = 842
    margin_left: int = 10
    margin_top: int = 10
    margin_right: int = 10
    margin_bottom: int = 10
    font: str = "DejaVuSans"
    font_size: float = 9.0
    line_height: int = 10
    paragraph_gap: int = 0
    crop_to: int = 0
    user_label: str = "User: "
    assistant_label: str = "Assistant: "

    def __post_init__(self) -> None:
        if not (0 < self.width <= MAX_PAGE_SIDE and 0 < self.height <= MAX_PAGE_SIDE):
            raise UserError(f"page size {self.width} x {self.height}: each side must be 1 to {MAX_PAGE_SIDE} px")
        if not (0 < self.font_size <= 512 and 0 < self.line_height <= 1024):
            raise UserError("font_size must be over 0 and at most 512 px, line_height 1 to 1024 px")
        if self.width - self.margin_left - self.margin_right < self.font_size:
            raise UserError(f"a page {self.width} px wide leaves no room for text between its margins")
        if self.height - self.margin_top - self.margin_bottom < self.line_height:
            raise UserError(f"a page {self.height} px high leaves no room for one line between its margins")

    def label(self, role: str, text: str) -> str:
        """A message with its role's label, as it is rendered. Text without a role gets no label."""
        labels = {"user": self.user_label, "assistant": self.assistant_label, "": ""}
        return labels.get(role, f"{role.capitalize()}: ") + text

    def with_overrides(self, overrides: object) -> "Style":
        """A copy with some fields replaced; an unknown field is a `UserError`."""
        values = dict(overrides)  # type: ignore[call-overload]
        unknown = set(values) - {f.name for f in fields(self)}
        if unknown:
            raise UserError(
                f"unknown page style {sorted(unknown)[0]!r}; known: {', '.join(f.name for f in fields(self))}"
            )
        return replace(self, **values)


def font_index(font: str) -> tuple[str, int]:
    """Split ``fonts.ttc#1`` into the file's name and the number in the collection; the number is 0 by default."""
    numbered = None if isfile(font) else re.fullmatch(r"(.+)#(\d{1,5})", font, re.DOTALL)
    return (numbered[1], int(numbered[2])) if numbered else (font, 0)


@lru_cache(maxsize=64)
def font_file(font: str) -> str:
    """The path of a font: a file's own path, or that of a font that matplotlib ships, by its name."""
    name, _ = font_index(font)
    if isfile(name):
        return name
    spec = find_spec("matplotlib")
    if spec is not None and spec.origin is not None:
        shipped = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / f"{name}.ttf"
        if shipped.is_file():
            return str(shipped)
    raise UserError(f"no font {font!r}: give a .ttf, .otf or .ttc file (fonts.ttc#1: its second font), or DejaVuSans")
