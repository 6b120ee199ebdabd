"""Glyphs of one font at one size, rasterized once each and kept side by side in one array.

FreeType comes with the wheels of freetype-py, so pages do not depend on the version installed on the machine.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import log10

import freetype
import numpy as np
from numpy.typing import NDArray

from freqq.errors import UserError
from freqq.pages.fonts import open_font

PHASES = 4
"""Glyphs start at quarters of a pixel, as in poppler (`splashFontFraction`)."""

TALLEST_PHASED = 50
"""If the font's bounding box is higher than this (px), poppler starts every glyph at a whole pixel."""

MAX_SIZE = 1024
MAX_GLYPH_SIDE = 8192


@dataclass(frozen=True)
class Bitmap:
    """A glyph's ink (uint8 [rows, width], 255 full) and its offset right of the pen and above the baseline, in px."""

    ink: NDArray[np.uint8]
    left: int
    top: int


class Raster:
    """A font at a size.

    Parameters
    ----------
    font : str
        A font file or name, see `freqq.pages.fonts`.
    size : float
        Em size in px, over 0 and at most 1024.
    hinted : bool
        False: as in poppler's Splash (SplashFTFont.cc, SplashFont.cc): unhinted, FreeType's outline at the rounded size
        scaled to the exact one, `PHASES` horizontal phases, no vertical ones.
        True: hinted by the font's own program, glyphs at whole pixels, as on the pages that the embedded model was
        trained on.

    Attributes
    ----------
    phases : int
        Number of horizontal positions per pixel at which a glyph may start.
    ascent, height : int
        Distance from a line's top to its baseline and to its bottom, in px.

    Raises
    ------
    UserError
        For a file that is not a scalable font, and a size out of range.
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
        """The index of a character's glyph; 0 (in most fonts a visible box) if the font has none."""
        return int(self._face.get_char_index(0x20 if code == 0xA0 else code))

    def advance(self, number: int) -> tuple[float, float]:
        """A glyph's advance: in px, and in 1/1000 of the em size as reportlab rounds it in a PDF."""
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
        """Rasterize a glyph with the pen ``phase / phases`` px right of a whole pixel.

        Raises
        ------
        UserError
            If the glyph's data are damaged, or it is larger than any page.
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
    """A number as reportlab writes it into a PDF: up to six decimals, fewer for large numbers (`fp_str`)."""
    magnitude = abs(value)
    if magnitude <= 1e-7:
        return 0.0
    return round(value, 6 if magnitude <= 1 else min(max(0, 6 - int(log10(magnitude))), 6))


MAX_BYTES = 1 << 26
"""An atlas is cleared when its columns take more than this: a chat may contain all of Unicode."""

BLANK = 255
"""Background without ink."""


class Atlas(Raster):
    """A `Raster` that keeps its glyphs as columns of pixels, so that a line of text is drawn by copying columns.

    All columns are ``columns.shape[1]`` px high and begin `above` px above the baseline. Values are the fraction of the
    background that stays visible: 255 all, 0 none. The other arrays are indexed by slots, see `slots`.

    Attributes
    ----------
    columns : uint8 array, [columns, height]
    starts, widths, lefts : int64 arrays, [slots, phases]
        A glyph's first column, number of columns (0 for a space), and offset right of the pen's pixel.
    advances, thousandths : float64 arrays, [slots]
        Advances in px, and in 1/1000 of the em size as reportlab rounds them in a PDF.
    """

    def __init__(self, font: str, size: float, hinted: bool = False) -> None:
        super().__init__(font, size, hinted)
        self._width_of: dict[str, float] = {}
        self._forget()

    def _forget(self) -> None:
        self.above = 1
        self.columns: NDArray[np.uint8] = np.zeros((0, 2), np.uint8)
        self.starts, self.widths, self.lefts = (np.zeros((0, self.phases), np.int64) for _ in range(3))
        self.advances, self.thousandths = np.zeros(0), np.zeros(0)
        self._slot_of_code: NDArray[np.int32] = np.full(128, -1, np.int32)
        self._slot_of_number: dict[int, int] = {}

    def slots(self, text: str) -> NDArray[np.int32]:
        """The slot of each character, int32 [len(text)]; rasterizes new glyphs.

        A character that the font lacks has the slot of the font's "missing" glyph, a no-break space that of a space.
        Slots of earlier calls may become invalid.
        """
        if self.columns.nbytes > MAX_BYTES:
            self._forget()
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        highest = int(codes.max(initial=0))
        if highest >= len(self._slot_of_code):
            more = (1 << highest.bit_length()) - len(self._slot_of_code)
            self._slot_of_code = np.pad(self._slot_of_code, (0, more), constant_values=-1)
        slots = self._slot_of_code[codes]
        if slots.min(initial=0) < 0:
            self._add(np.unique(codes[slots < 0]).tolist())
            slots = self._slot_of_code[codes]
        return slots

    def width(self, text: str) -> float:
        """The advance of a text, in px."""
        for char in text:
            if char not in self._width_of:
                self._width_of[char] = self.advance(self.number(ord(char)))[0]
        return sum([self._width_of[char] for char in text])

    def glyph(self, char: str, phase: int = 0) -> tuple[NDArray[np.uint8], int]:
        """Ink (0 none, 255 full) of a character in a box of the line's height, and the pen's x position in it."""
        drawn, pen = self.bitmap(self.number(ord(char)), phase), 2
        rows, columns = drawn.ink.shape
        top, left = self.ascent - drawn.top, pen + drawn.left
        box = np.zeros((self.height, max(int(self.width(char)) + 2 * pen + 3, left + columns)), np.uint8)
        upper, lower = max(top, 0), max(0, min(top + rows, self.height))
        box[upper:lower, max(left, 0) : max(left + columns, 0)] = drawn.ink[upper - top : lower - top, max(-left, 0) :]
        return box, pen

    def _add(self, codes: list[int]) -> None:
        """Rasterize characters that have no slot yet."""
        bitmaps: list[Bitmap] = []
        advances: list[tuple[float, float]] = []
        for code in codes:
            number = self.number(code)
            if number not in self._slot_of_number:
                self._slot_of_number[number] = len(self._slot_of_number)
                bitmaps += [self.bitmap(number, phase) for phase in range(self.phases)]
                advances.append(self.advance(number))
            self._slot_of_code[code] = self._slot_of_number[number]
        if bitmaps:
            self._stack(bitmaps)
            px, thousandths = zip(*advances, strict=True)
            self.advances, self.thousandths = np.append(self.advances, px), np.append(self.thousandths, thousandths)

    def _stack(self, bitmaps: list[Bitmap]) -> None:
        """Append bitmaps to the columns; all columns become higher if a new one needs it."""
        below = self.columns.shape[1] - self.above
        higher = max(0, *(b.top - self.above for b in bitmaps))
        lower = max(0, *(len(b.ink) - b.top - below for b in bitmaps))
        old = np.pad(self.columns, ((0, 0), (higher, lower)), constant_values=BLANK)
        self.above += higher
        widths = np.array([b.ink.shape[1] for b in bitmaps], np.int64)
        ends = np.cumsum(widths)
        new = np.full((int(ends[-1]), old.shape[1]), BLANK, np.uint8)
        for b, start, end in zip(bitmaps, ends - widths, ends, strict=True):
            row = self.above - b.top
            new[start:end, row : row + len(b.ink)] -= b.ink.T
        self.columns = np.concatenate([old, new])
        lefts = np.array([b.left for b in bitmaps], np.int64)
        self.starts, self.widths, self.lefts = (
            np.concatenate([had, more.reshape(-1, self.phases)])
            for had, more in ((self.starts, len(old) + ends - widths), (self.widths, widths), (self.lefts, lefts))
        )


@lru_cache(maxsize=32)
def atlas(font: str, size: float, hinted: bool = False) -> Atlas:
    """The atlas of a font and size, cached for the process. Not thread-safe."""
    return Atlas(font, size, hinted)
