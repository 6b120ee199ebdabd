"""Font files: TrueType, OpenType with CFF outlines, collections of either, and the default instance of variable fonts.

A collection's fonts are counted from 0: ``fonts.ttc#1`` is its second one, ``fonts.ttc`` its first.

reportlab, and so Glyph's own pipeline, reads TrueType outlines only. Pages in a font with CFF outlines are drawn by the
same rules, but have no counterpart in Glyph.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

import freetype

from freqq.errors import UserError
from freqq.pages.style import font_file, font_index

INVISIBLE = "\xad\u200b"
"""Characters that Glyph removes from a text."""


def open_font(font: str) -> freetype.Face:
    """Open a font; the face is not shared, so its size can be set.

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
    """A font's identity: the SHA-256 of its file, and its number in a collection unless that is 0."""
    _, index = font_index(font)
    digest = hashlib.sha256(Path(font_file(font)).read_bytes()).hexdigest()
    return f"{digest}#{index}" if index else digest


def has_cff_outlines(font: str) -> bool:
    """Whether reportlab cannot use a font because it has no TrueType outlines."""
    return bool(_shared(font).get_format() == b"CFF")


def lacking(font: str, text: str) -> set[str]:
    """The visible characters of a text that the font has no glyph for; they would be drawn as a box."""
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


CACHED_WORDS = 1 << 16
CACHED_LENGTH = 64


class Widths(dict[str, float]):
    """Widths of words in points, ``widths[word]``, computed on demand.

    Caches up to `CACHED_WORDS` words of up to `CACHED_LENGTH` characters. A character that the font lacks has the width
    of glyph 0, a no-break space that of a space.

    Raises
    ------
    UserError
        If FreeType cannot read the font, or it has no Latin letters.
    """

    def __init__(self, font: str, size: float) -> None:
        super().__init__()
        self._chars = _char_advances(font)
        self._unit = 0.001 * size
        self.space = self[" "]

    def __missing__(self, word: str) -> float:
        # In reportlab's order: sums that end exactly at the edge of a line must round the same way.
        width = self._unit * sum(map(self._chars.__getitem__, word))
        if len(word) <= CACHED_LENGTH:
            if len(self) >= CACHED_WORDS:
                self.clear()
            self[word] = width
        return width

    def lacking(self, text: str) -> set[str]:
        """The characters of a measured text that the font has no glyph for."""
        return self._chars.lacking.intersection(text) if self._chars.lacking else set()


class _CharAdvances(dict[str, float]):
    """Advances of characters in thousandths of the font size."""

    def __init__(self, font: str) -> None:
        super().__init__()
        self.lacking: set[str] = set()
        self._face = open_font(font)
        self._per_unit = 1000 / self._face.units_per_EM
        if missing := [char for char in "aeiouAEIOU " if not self._face.get_char_index(char)]:
            raise UserError(f"{font} has no Latin letters (none for {missing[0]!r}): choose another font")

    def __missing__(self, char: str) -> float:
        glyph = self._face.get_char_index(" " if char == "\xa0" else char)
        if not glyph:
            self.lacking.add(char)
        advance = self._face.get_advance(glyph, freetype.FT_LOAD_NO_SCALE)
        self[char] = width = float(advance * self._per_unit)
        return width


@lru_cache(maxsize=8)
def _char_advances(font: str) -> _CharAdvances:
    return _CharAdvances(font)


@lru_cache(maxsize=16)
def widths(font: str, size: float) -> Widths:
    """The widths of a font at a size, cached for the process."""
    return Widths(font, size)
