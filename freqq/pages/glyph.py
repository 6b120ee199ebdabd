"""Glyph's rendering configuration."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from os.path import isfile
from pathlib import Path
from reprlib import repr as brief
from typing import Any

from freqq.errors import UserError
from freqq.pages.markup import Color, Tag, parse_markup
from freqq.pages.style import MAX_PAGE_SIDE, font_file, font_index

ALIGNMENTS = ("LEFT", "CENTER", "RIGHT", "JUSTIFY")
FRAME_PADDING = 6.0
"""Padding of reportlab's frame inside the margins, on each side (pt)."""

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
MAX_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True)
class GlyphConfig:
    """The keys of Glyph's ``config.json`` with underscores for hyphens; lengths in points, colours as RGB (0 to 255).

    The defaults are those of Glyph's evaluation: 595 x 842 pt at 72 dpi, margins of 10 pt, 9 pt text on 10 pt lines.
    Glyph uses Verdana; the default here is DejaVu Sans, which is free and has similar proportions.

    Parameters
    ----------
    page_size : (float, float)
        Width and height.
    dpi : float
        Pixels per inch; at 72, a point is a pixel.
    margin_x, margin_y : float
        Left and right, top and bottom. The text starts `FRAME_PADDING` further in. A cropped page keeps this many
        *pixels* beside its text at any dpi, as in Glyph.
    font_path : str
        A font file or name, see `freqq.pages.fonts`.
    line_height : float or None
        Distance of two baselines; None: `font_size` plus one point.
    alignment : {"LEFT", "CENTER", "RIGHT", "JUSTIFY"}
    horizontal_scale : float
        Factor of the finished page's width (bicubic).
    border_padding : float
        How far a paragraph's background and border extend beyond its text.
    para_bg_color, para_border_color : RGB or None
        None: not painted.
    newline_markup : str
        Markup for a newline: ``<br/>``, or a visible mark like ``<font color="#FF0000"> \\n </font>``.
    auto_crop_width, auto_crop_last_page : bool
        Crop the blank area right of the text, and below it on the last page.

    Raises
    ------
    UserError
        If such a page cannot be made, or has no room for text.
    """

    page_size: tuple[float, float] = (595.0, 842.0)
    dpi: float = 72.0
    margin_x: float = 10.0
    margin_y: float = 10.0
    font_path: str = "DejaVuSans"
    font_size: float = 9.0
    line_height: float | None = None
    font_color: Color = BLACK
    alignment: str = "LEFT"
    horizontal_scale: float = 1.0
    first_line_indent: float = 0.0
    left_indent: float = 0.0
    right_indent: float = 0.0
    space_before: float = 0.0
    space_after: float = 0.0
    border_width: float = 0.0
    border_padding: float = 0.0
    page_bg_color: Color = WHITE
    para_bg_color: Color | None = WHITE
    para_border_color: Color | None = None
    newline_markup: str = "<br/>"
    auto_crop_width: bool = True
    auto_crop_last_page: bool = True

    def __post_init__(self) -> None:
        _within("font-size", self.font_size, 0.5, 512)
        _within("line-height", self.leading, 0.5, 2048)
        _within("dpi", self.dpi, 1, 2400)
        _within("horizontal-scale", self.horizontal_scale, 0.01, 100)
        for side in self.page_size:
            _within("page-size", side, 1, 100_000)
        for name in ("margin_x", "margin_y", "space_before", "space_after", "border_width", "border_padding"):
            _within(json_key(name), getattr(self, name), 0, 10_000)
        for name in ("first_line_indent", "left_indent", "right_indent"):
            _within(json_key(name), getattr(self, name), -10_000, 10_000)
        if self.alignment not in ALIGNMENTS:
            raise UserError(f"alignment {self.alignment!r}: must be one of {', '.join(ALIGNMENTS)}")
        for side in (*self.page_pixels, round(self.page_pixels[0] * self.horizontal_scale)):
            if not 1 <= side <= MAX_PAGE_SIDE:
                raise UserError(
                    f"a page of {side} px: each side must have 1 to {MAX_PAGE_SIDE} px; check page-size and dpi"
                )
        if min(self.line_widths) < self.font_size:
            raise UserError(
                f"a page {self.page_size[0]:g} pt wide leaves no room for a word within margins and indents"
            )
        if self.frame_height < self.leading:
            raise UserError(f"a page {self.page_size[1]:g} pt high has no room for a line between its margins")
        parse_markup(self.newline_markup)

    @property
    def leading(self) -> float:
        """Distance of two baselines (pt)."""
        return self.font_size + 1 if self.line_height is None else self.line_height

    @property
    def scale(self) -> float:
        """Pixels per point."""
        return self.dpi / 72

    @property
    def page_pixels(self) -> tuple[int, int]:
        """Width and height of a page in pixels before scaling and cropping, rounded up as in poppler."""
        width, height = (side * self.scale for side in self.page_size)
        return -int(-width // 1), -int(-height // 1)

    @property
    def text_left(self) -> float:
        """Start of a line without indent (pt from the page's left edge)."""
        return self.margin_x + FRAME_PADDING

    @property
    def frame_height(self) -> float:
        """Height available for lines on a page (pt)."""
        return self.page_size[1] - 2 * self.margin_y - 2 * FRAME_PADDING

    @property
    def line_widths(self) -> tuple[float, float]:
        """Width available for a paragraph's first line, and for its others (pt)."""
        room = self.page_size[0] - 2 * self.margin_x - 2 * FRAME_PADDING
        return (
            room - (self.left_indent + self.first_line_indent) - self.right_indent,
            room - self.left_indent - self.right_indent,
        )

    @property
    def newline(self) -> Mapping[str, Tag]:
        """The tags of the newline markup and their effects."""
        return parse_markup(self.newline_markup)

    @classmethod
    def read(cls, path: str | Path, font: str | None = None) -> "GlyphConfig":
        """Read a ``config.json``; a relative ``font-path`` may start from the working directory or the file's folder.

        Raises
        ------
        UserError
            If the file cannot be read, is not a JSON object, or `from_mapping` refuses it.
        """
        path = Path(path)
        try:
            if path.stat().st_size > MAX_CONFIG_BYTES:
                raise UserError(f"{path}: too large for a rendering configuration")
            values = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, line {error.lineno}: {error.msg}") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is not readable JSON in UTF-8") from error
        if not isinstance(values, dict):
            raise UserError(f"{path}: a rendering configuration is a JSON object of keys like page-size")
        if font is None and isinstance(given := values.get("font-path"), str):
            name, _ = font_index(given)
            if not isfile(name) and isfile(path.parent / name):
                values["font-path"] = str(path.parent / given)
        try:
            return cls.from_mapping(values, font)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error

    @classmethod
    def from_mapping(
        cls, values: Mapping[str, Any], font: str | None = None, base: "GlyphConfig | None" = None
    ) -> "GlyphConfig":
        """Convert Glyph's keys, from its files or from an item of its data.

        Parameters
        ----------
        values : mapping
            Colours are ``#RRGGBB``, ``page-size`` is ``"595,842"`` or a list.
        font : str, optional
            Replaces the mapping's ``font-path``, which then need not exist.
        base : GlyphConfig, optional
            Values of missing keys; None: the defaults.

        Raises
        ------
        UserError
            For an unknown key (naming the nearest one), a value of the wrong type, or a missing font.
        """
        known = {json_key(f.name): f.name for f in fields(cls)}
        read: dict[str, Any] = {}
        for key, value in values.items():
            if key not in known:
                near = get_close_matches(str(key)[:100], known, n=1, cutoff=0.0)
                raise UserError(f"unknown key {brief(key)} in the rendering configuration; the nearest is {near[0]!r}")
            read[known[key]] = _READ[known[key]](key, value)
        if font is not None:
            read["font_path"] = font
        config = replace(base, **read) if base else cls(**read)
        try:
            font_file(config.font_path)
        except UserError as error:
            raise UserError(f"no font {config.font_path!r}: correct font-path, or choose one with --font") from error
        return config


def json_key(name: str) -> str:
    """A field's key in ``config.json``."""
    return name.replace("_", "-")


def _within(key: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also refuses NaN
        raise UserError(f"{key} {value:g}: must be {low:g} to {high:g}")


def _number(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{key} {brief(value)}: must be a number")
    try:
        return float(value)
    except OverflowError as error:
        raise UserError(f"{key}: the number is too large") from error


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise UserError(f"{key} {brief(value)}: must be a string")
    return value


def _switch(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{key} {brief(value)}: must be true or false")
    return value


def _size(key: str, value: object) -> tuple[float, float]:
    """Width and height, from a list or a string with a comma."""
    sides = value.split(",") if isinstance(value, str) else value
    if isinstance(sides, list | tuple) and len(sides) == 2:
        try:
            return float(sides[0]), float(sides[1])
        except (TypeError, ValueError, OverflowError):
            pass
    raise UserError(f'{key} {brief(value)}: must be width and height in points, like "595,842"')


def _color(key: str, value: object) -> Color:
    match = re.fullmatch(r"(?:#|0x)([0-9a-fA-F]{6})", value) if isinstance(value, str) else None
    if match is None:
        raise UserError(f"{key} {brief(value)}: must be a colour like #000000")
    red, green, blue = bytes.fromhex(match[1])
    return red, green, blue


def _maybe(read: Callable[[str, object], object]) -> Callable[[str, object], object]:
    return lambda key, value: None if value is None else read(key, value)


_READ: dict[str, Callable[[str, object], object]] = {f.name: _number for f in fields(GlyphConfig)} | {
    "page_size": _size,
    "line_height": _maybe(_number),
    "font_path": _text,
    "font_color": _color,
    "alignment": _text,
    "page_bg_color": _color,
    "para_bg_color": _maybe(_color),
    "para_border_color": _maybe(_color),
    "newline_markup": _text,
    "auto_crop_width": _switch,
    "auto_crop_last_page": _switch,
}
"""Converters of the JSON values; they raise `UserError` with the key for a value of the wrong type."""
