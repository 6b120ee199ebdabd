"""A page as strips, one to a line of text, and strips as blocks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freqq.transforms.blocks import whole_blocks

WHITE = 255


@dataclass(frozen=True)
class Strips:
    """How a page of height x width pixels is cut: strips of `block` height from row `phase` - block height on.

    Strips and blocks that reach over the page's edge are filled up with white.
    """

    height: int
    width: int
    block: tuple[int, int]
    phase: int

    @classmethod
    def of(cls, pixels: NDArray[np.uint8], block: tuple[int, int], phase: int) -> "Strips":
        """The strips of a page [height, width]."""
        height, width = pixels.shape
        return cls(height, width, block, phase)

    @property
    def above(self) -> int:
        """White rows over the page's first."""
        return -self.phase % self.block[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return whole_blocks(self.height + self.above, self.block[0]), whole_blocks(self.width, self.block[1])

    def cut(self, pixels: NDArray[np.uint8], chosen: NDArray[np.intp] | None = None) -> NDArray[np.uint8]:
        """The blocks [rows, columns, h, w] of a page [height, width], or of some of its strips."""
        (rows, columns), (h, w) = self.shape, self.block
        strips = np.arange(rows) if chosen is None else chosen
        at = (strips[:, None] * h - self.above + np.arange(h)).ravel()
        inside = (at >= 0) & (at < self.height)
        padded = np.full((len(at), columns * w), WHITE, np.uint8)
        padded[inside, : self.width] = pixels[at[inside]]
        return padded.reshape(len(strips), h, columns, w).swapaxes(1, 2)

    def inked(self, pixels: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Which strips of a page [height, width] are not all white."""
        dark = np.flatnonzero((pixels != WHITE).any(1))
        return np.unique((dark + self.above) // self.block[0])

    def join(self, blocks: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The page [height, width] of blocks [rows, columns, h, w]."""
        rows, columns, h, w = blocks.shape
        padded = blocks.swapaxes(1, 2).reshape(rows * h, columns * w)
        return np.ascontiguousarray(padded[self.above : self.above + self.height, : self.width])


def darkest_gap(pixels: NDArray[np.uint8], pitch: int) -> int:
    """The phase at which lines of text of a known pitch begin: below the row that has the least ink.

    Rows are folded by the pitch. Of two equally empty rows the one with the emptier neighbours counts.
    """
    ink = WHITE - pixels.astype(np.float64).mean(1)
    rows = np.bincount(np.arange(len(ink)) % pitch, ink, pitch)
    around = rows + 0.1 * (np.roll(rows, 1) + np.roll(rows, -1))
    return int((around.argmin() + 1) % pitch)
