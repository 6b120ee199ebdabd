"""A page: pixels, and the text that they show."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from freqq.pages.glyph import GlyphConfig
    from freqq.pages.style import Style


@dataclass(frozen=True)
class Line:
    """One line of text on a page. ``x`` is where its first glyph starts and ``top`` where the line's box does (px)."""

    x: float
    top: float
    text: str


@dataclass(frozen=True)
class Run:
    """A piece of one line as it is drawn, in px from the page's top left.

    ``x`` is where the pen starts, ``baseline`` what the letters stand on, and ``word_space`` is added to the
    advance of every space (U+0020), as a justified line needs.
    """

    x: float
    baseline: float
    text: str
    word_space: float = 0.0


@dataclass(frozen=True)
class Page:
    """A page image with the lines that it shows.

    Parameters
    ----------
    pixels : uint8 array, [height, width] gray or [height, width, 3] RGB
    lines : tuple of Line
        Empty for an image whose text is not known.
    style : GlyphConfig, Style or None
        What the page was drawn by; None if that is not known.
    """

    pixels: NDArray[np.uint8]
    lines: tuple[Line, ...] = ()
    style: "GlyphConfig | Style | None" = None

    @property
    def text(self) -> str:
        """The visible text, a newline between lines."""
        return "\n".join(line.text for line in self.lines)

    @property
    def sha256(self) -> str:
        """Hex digest over shape and pixels: equal pages, equal digests."""
        shape = repr(self.pixels.shape).encode()
        return hashlib.sha256(shape + np.ascontiguousarray(self.pixels).tobytes()).hexdigest()


def hash_of(pages: Sequence[Page]) -> str:
    """One digest for the pages of a sample."""
    return hashlib.sha256("".join(page.sha256 for page in pages).encode()).hexdigest()
