"""One glyph's pixels and advance, from the FreeType that the wheels of freetype-py carry.

A page therefore does not depend on the machine's own FreeType.
"""

from dataclasses import dataclass
from math import log10

import freetype
import numpy as np
from numpy.typing import NDArray

from freqq.errors import UserError
from freqq.pages.fonts import open_font

PHASES = 4
"""Glyphs start at quarters of a pixel, as poppler has them (`splashFontFraction`)."""

TALLEST_PHASED = 50
"""Where the font's box is higher than this (px), poppler starts every glyph at a whole pixel."""

MAX_SIZE = 1024
MAX_GLYPH_SIDE = 8192


@dataclass(frozen=True)
class Bitmap:
    """A glyph's ink (uint8, [rows, width], 255 full), how far right of the pen it begins, and how far over the line."""

    ink: NDArray[np.uint8]
    left: int
    top: int


class Raster:
    """A font at a size.

    Parameters
    ----------
    font : str
        A font file or a name, as `freqq.pages.fonts` has them.
    size : float
        Em size in px, over 0 and at most 1024.
    hinted : bool
        False: as poppler's Splash does it (SplashFTFont.cc, SplashFont.cc): unhinted, FreeType's outline at the
        rounded size scaled to the exact one, `PHASES` x phases, no y phases.
        True: hinted by the font's own program, glyphs at whole pixels; the pages that the embedded model has learnt.

    Attributes
    ----------
    phases : int
        How many parts of a pixel a glyph may start at.
    ascent, height : int
        Of a line, in px: from its top to its baseline and to its bottom.

    Raises
    ------
    UserError
        For a file that is no scalable font, and a size out of range.
    """

    def __init__(self, font: str, size: float, hinted: bool = False) -> None:
        if not 0 < size <= MAX_SIZE:
            raise UserError(f"a font of {size:g} px: its size must be over 0 and at most {MAX_SIZE} px")
        self.font, self.size, self.hinted = font, size, hinted
        self._face = open_font(font)
        self._flags, self._scale, self.phases = freetype.FT_LOAD_NO_BITMAP, 0x10000, 1
        if hinted:
            self._face.set_char_size(0, max(1, round(size * 64)), 0, 0)
            self._ruler = open_font(font)
            self._ruler.set_char_size(0, max(1, round(size * 64 * 64)), 0, 0)
        else:
            self._flags |= freetype.FT_LOAD_NO_HINTING
            whole = max(1, int(size + 0.5))
            self._face.set_pixel_sizes(0, whole)
            self._scale = int(size / whole * 0x10000)
            box, em = self._face.bbox, self._face.units_per_EM
            if int(size * box.yMax / em) - int(size * box.yMin / em) + 3 <= TALLEST_PHASED:
                self.phases = PHASES
        self.ascent = self._face.size.ascender // 64
        self.height = self.ascent - self._face.size.descender // 64

    def number(self, code: int) -> int:
        """The font's number of a character's glyph; 0, in most fonts a visible box, if it has none."""
        return int(self._face.get_char_index(0x20 if code == 0xA0 else code))

    def advance(self, number: int) -> tuple[float, float]:
        """How far a glyph moves the pen: in px, and in 1/1000 of the em size as reportlab rounds it in a PDF."""
        em = self._face.units_per_EM
        try:
            units = self._face.get_advance(number, freetype.FT_LOAD_NO_SCALE)
            px = units * self.size / em
            if self.hinted:
                # Hinted advances are whole pixels; at 64 times the size they are exact to 1/64 px.
                self._ruler.load_glyph(number, freetype.FT_LOAD_NO_BITMAP)
                px = self._ruler.glyph.metrics.horiAdvance / 64 / 64
        except freetype.FT_Exception as error:
            raise self._damaged(number, error) from error
        return px, pdf_number(units * 1000 / em)

    def bitmap(self, number: int, phase: int) -> Bitmap:
        """Rasterise a glyph whose pen stands ``phase / phases`` px right of a whole pixel.

        Raises
        ------
        UserError
            If the font's data for it are damaged, or it is larger than any page.
        """
        face, scale = self._face, self._scale
        face.set_transform(freetype.Matrix(scale, 0, 0, scale), freetype.Vector(phase * 64 // self.phases, 0))
        try:
            face.load_glyph(number, self._flags)
            box = face.glyph.outline.get_cbox()
            if max(box.xMax - box.xMin, box.yMax - box.yMin) > MAX_GLYPH_SIDE * 64:
                raise UserError(f"{self.font}: a glyph is larger than a page at {self.size:g} px; choose another font")
            face.glyph.render(freetype.FT_RENDER_MODE_NORMAL)
        except freetype.FT_Exception as error:
            raise self._damaged(number, error) from error
        drawn = face.glyph.bitmap
        ink = np.array(drawn.buffer, np.uint8).reshape(drawn.rows, drawn.pitch)[:, : drawn.width]
        return Bitmap(ink, face.glyph.bitmap_left, face.glyph.bitmap_top)

    def _damaged(self, number: int, error: Exception) -> UserError:
        return UserError(f"{self.font}: glyph {number} is damaged ({error}); choose another font")


def pdf_number(value: float) -> float:
    """A number as reportlab writes it into a PDF: up to six decimals, fewer for large ones (`fp_str`)."""
    magnitude = abs(value)
    if magnitude <= 1e-7:
        return 0.0
    return round(value, 6 if magnitude <= 1 else min(max(0, 6 - int(log10(magnitude))), 6))
