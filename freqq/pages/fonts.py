"""Font files: TrueType, OpenType with CFF outlines, collections of either, and variable fonts as they are by default.

A collection's fonts are counted from 0: ``fonts.ttc#1`` is its second one, ``fonts.ttc`` its first.

reportlab, and so Glyph's own pipeline, reads TrueType outlines only, and of a collection the first font unless it is
told: pages in a font with CFF outlines are drawn here by the same rules, but cannot be compared with Glyph's.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

import freetype

from freqq.errors import UserError
from freqq.pages.style import font_file, font_index

INVISIBLE = "\xad\u200b"
"""What Glyph removes from a text."""


def open_font(font: str) -> freetype.Face:
    """A font of its own for who calls this: its size can be set.

    Raises
    ------
    UserError
        If there is no such font, it cannot be read, or it has no outlines.
    """
    name, index = font_index(font)
    try:
        face = freetype.Face(font_file(font), index)
    except freetype.FT_Exception as error:
        count = _count(font) if index else 1
        if index >= count > 0:
            raise UserError(f"{font}: {name} has {count} font{'s'[: count > 1]}, and the first is #0") from error
        raise UserError(
            f"{font}: FreeType cannot read this font ({error}); give a TrueType file or another font"
        ) from error
    if not face.is_scalable or not face.units_per_EM:
        raise UserError(f"{font} has no outlines, only bitmaps; give a TrueType file")
    return face


def font_digest(font: str) -> str:
    """What tells one font from any other: the SHA-256 of its file, and its number in a collection unless that is 0."""
    _, index = font_index(font)
    digest = hashlib.sha256(Path(font_file(font)).read_bytes()).hexdigest()
    return f"{digest}#{index}" if index else digest


def has_cff_outlines(font: str) -> bool:
    """Whether reportlab cannot use a font, for it has no TrueType outlines."""
    return bool(_shared(font).get_format() == b"CFF")


def lacking(font: str, text: str) -> set[str]:
    """The characters of a text that would be drawn as a box, for the font has no glyph for them."""
    face = _shared(font)
    return {char for char in set(text) if not (char.isspace() or char in INVISIBLE or face.get_char_index(ord(char)))}


@lru_cache(maxsize=8)
def _shared(font: str) -> freetype.Face:
    return open_font(font)


def _count(font: str) -> int:
    try:
        return int(freetype.Face(font_file(font), 0).num_faces)
    except freetype.FT_Exception:
        return 0
