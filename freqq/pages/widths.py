"""How wide text is: the font's own advances, with the arithmetic that reportlab does on them."""

from functools import lru_cache

import freetype

from freqq.errors import UserError
from freqq.pages.fonts import open_font

CACHED_WORDS = 1 << 16
CACHED_LENGTH = 64


class Widths(dict[str, float]):
    """Widths of words in points, ``widths[word]``, computed when they are first asked for.

    Kept for words of up to `CACHED_LENGTH` characters, at most `CACHED_WORDS` of them. A character that the font
    lacks is as wide as the box that shows it (glyph 0); a no-break space is as wide as a space.

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
        # In this order, as reportlab does: sums that end on the edge of a line must round the same way.
        width = self._unit * sum(map(self._chars.__getitem__, word))
        if len(word) <= CACHED_LENGTH:
            if len(self) >= CACHED_WORDS:
                self.clear()
            self[word] = width
        return width

    def lacking(self, text: str) -> set[str]:
        """The characters of a text that the font has no glyph for; all of them must have been measured."""
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
    """The widths of a font at a size, kept for the whole process."""
    return Widths(font, size)
