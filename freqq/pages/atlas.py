"""Glyphs of one font at one size, rasterised once each and kept side by side in one array."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from freqq.pages.raster import Bitmap, Raster
from freqq.pages.raster import pdf_number as pdf_number

MAX_BYTES = 1 << 26
"""An atlas starts anew when its columns take more than this: a chat may hold all of Unicode."""

BLANK = 255
"""Background without ink."""


class Atlas(Raster):
    """A `Raster` that keeps its glyphs as columns of pixels, so that a line of text is drawn by copying columns.

    All columns are ``columns.shape[1]`` px high and begin `above` px over the baseline. They hold how much of the
    background is left: 255 all, 0 none. The arrays below are indexed by *slots*, which `slots` gives for a text.

    Attributes
    ----------
    columns : uint8 array, [columns, height]
    starts, widths, lefts : int64 arrays, [slots, phases]
        A glyph's first column, their number (0 for a space), and how far right of the pen's pixel they begin.
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
        """One slot a character, int32, [len(text)]; glyphs that are new are rasterised.

        A character that the font lacks has the slot of the font's "missing" glyph, a no-break space that of a space.
        Slots of an earlier call may be gone.
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
        """Ink (0 none, 255 full) of a character in a box as high as a line, and how far right in it the pen stands."""
        drawn, pen = self.bitmap(self.number(ord(char)), phase), 2
        rows, columns = drawn.ink.shape
        top, left = self.ascent - drawn.top, pen + drawn.left
        box = np.zeros((self.height, max(int(self.width(char)) + 2 * pen + 3, left + columns)), np.uint8)
        upper, lower = max(top, 0), max(0, min(top + rows, self.height))
        box[upper:lower, max(left, 0) : max(left + columns, 0)] = drawn.ink[upper - top : lower - top, max(-left, 0) :]
        return box, pen

    def _add(self, codes: list[int]) -> None:
        """Rasterise characters that have no slot yet."""
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
        """Append bitmaps to the columns, all of which become higher if one of the new ones needs it."""
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
            for had, more in (
                (self.starts, len(old) + ends - widths),
                (self.widths, widths),
                (self.lefts, lefts),
            )
        )


@lru_cache(maxsize=32)
def atlas(font: str, size: float, hinted: bool = False) -> Atlas:
    """The atlas of a font and size, kept for the whole process. Not for several threads at once."""
    return Atlas(font, size, hinted)
