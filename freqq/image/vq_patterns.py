"""Cut a page into strips (one per line of text) and blocks, and match blocks with patterns."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray

from freqq.transforms.bands import radial_frequency
from freqq.transforms.blocks import basis, whole_blocks

WHITE = 255


@dataclass(frozen=True)
class Strips:
    """How a page is cut into strips, one for each line of text, and these into blocks.

    Lines are `pitch` pixels apart, p/q in lowest terms: strip k begins at row ⌊(phase + k·p) / q⌋, as lines of text are
    drawn on whole rows. Its blocks are ⌈pitch⌉ pixels high; where strips are closer, the last row of a block is the
    next strip's, and white in this one. What lies beyond the page's edge is white, too.

    Parameters
    ----------
    height, width : int
        Of the page, px.
    pitch : Fraction
        px, at least 1.
    across : int
        Width of a block, px.
    phase : int
        0 .. p - 1, in q-ths of a pixel.
    """

    height: int
    width: int
    pitch: Fraction
    across: int
    phase: int

    @classmethod
    def of(cls, pixels: NDArray[np.uint8], pitch: Fraction, across: int, phase: int) -> "Strips":
        """The strips of a page [height, width]."""
        height, width = pixels.shape
        return cls(height, width, pitch, across, phase)

    @property
    def block(self) -> tuple[int, int]:
        """Height and width of a block."""
        return ceil(self.pitch), self.across

    @cached_property
    def edges(self) -> NDArray[np.intp]:
        """The first row of each strip, and the row below the last one; the first may be above the page."""
        p, q = self.pitch.as_integer_ratio()
        first = -int(self.phase >= q)
        last = -((self.phase - self.height * q) // p)
        return (self.phase + np.arange(first, last + 1) * p) // q

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return len(self.edges) - 1, whole_blocks(self.width, self.across)

    def _rows(self, chosen: NDArray[np.intp] | slice = slice(None)) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """The page's row that each row of each strip shows, [strips, h], and whether it shows one."""
        at = self.edges[:-1][chosen][:, None] + np.arange(self.block[0])
        return at, (at >= 0) & (at < np.minimum(self.edges[1:][chosen], self.height)[:, None])

    def cut(self, pixels: NDArray[np.uint8], chosen: NDArray[np.intp] | None = None) -> NDArray[np.uint8]:
        """The blocks [rows, columns, h, w] of a page [height, width], or of some of its strips."""
        columns, (h, w) = self.shape[1], self.block
        at, inside = self._rows(slice(None) if chosen is None else chosen)
        padded = np.full((*at.shape, columns * w), WHITE, np.uint8)
        padded[inside, : self.width] = pixels[at[inside]]
        return padded.reshape(len(at), h, columns, w).swapaxes(1, 2)

    def inked(self, pixels: NDArray[np.uint8]) -> NDArray[np.intp]:
        """The strips of a page [height, width] that are not all white."""
        dark = np.flatnonzero((pixels != WHITE).any(1))
        return np.unique(np.searchsorted(self.edges, dark, "right") - 1)

    def join(self, blocks: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The page [height, width] of blocks [rows, columns, h, w]."""
        rows, columns, h, w = blocks.shape
        at, inside = self._rows()
        page = np.empty((self.height, self.width), np.uint8)
        page[at[inside]] = blocks.swapaxes(1, 2).reshape(rows, h, columns * w)[inside, : self.width]
        return page


def darkest_gap(pixels: NDArray[np.uint8], pitch: Fraction) -> int:
    """The phase of lines of text with a known pitch p/q: they begin below the row with the least ink.

    Rows are folded by the pitch, each into the q phases that begin in it. Between equally empty rows, the one with
    emptier neighbours wins.
    """
    p, q = pitch.as_integer_ratio()
    ink = WHITE - pixels.astype(np.float64).mean(1)
    phases = (np.arange(len(ink))[:, None] * q + np.arange(q)) % p
    rows = np.bincount(phases.ravel(), np.repeat(ink, q), p)
    around = rows + 0.1 * (np.roll(rows, q) + np.roll(rows, -q))
    return int((around.argmin() + q) % p)


CHUNK = 512
"""Blocks compared with all patterns at a time."""

HALF_WEIGHT = 0.5
"""The fraction of the highest radial frequency at which errors have half of the DC's weight."""


@dataclass(frozen=True)
class Patterns:
    """Block patterns uint8 [K, h, w], all different."""

    array: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.array)

    @property
    def block(self) -> tuple[int, int]:
        """Height and width of a pattern."""
        return self.array.shape[1], self.array.shape[2]

    @cached_property
    def _hashes(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        found = hash_blocks(self.array.reshape(len(self.array), -1))
        order = np.argsort(found, kind="stable")
        return found[order], order

    @cached_property
    def _features(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        features = weighted_dct(self.array)
        return features, (features**2).sum(1)

    def exact(self, blocks: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The pattern that each block [n, h, w] equals, or -1."""
        hashes, order = self._hashes
        flat = blocks.reshape(len(blocks), -1)
        at = np.minimum(np.searchsorted(hashes, hash_blocks(flat)), len(order) - 1)
        index = order[at]
        same = (self.array.reshape(len(order), -1)[index] == flat).all(1)
        return np.where(same, index, -1)

    def nearest(self, blocks: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The pattern nearest to each block [n, h, w], and its distance."""
        index, distance = self.ranked(blocks, 1)
        return index[:, 0], distance[:, 0]

    def ranked(self, blocks: NDArray[np.uint8], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The `count` nearest patterns of each block [n, h, w], nearest first, and their distances.

        The distance is the root mean square of the weighted DCT of the difference, in gray levels.
        """
        features, squares = self._features
        index = np.empty((len(blocks), count), np.int64)
        distance = np.empty((len(blocks), count), np.float32)
        for first in range(0, len(blocks), CHUNK):
            part = slice(first, first + CHUNK)
            score = squares - 2 * (weighted_dct(blocks[part]) @ features.T)
            best = np.argpartition(score, count - 1, 1)[:, :count] if count > 1 else score.argmin(1)[:, None]
            away = self.distances(blocks[part], best)
            order = away.argsort(1, kind="stable")
            index[part] = np.take_along_axis(best, order, 1)
            distance[part] = np.take_along_axis(away, order, 1)
        return index, distance

    def distances(self, blocks: NDArray[np.uint8], index: NDArray[np.integer]) -> NDArray[np.float32]:
        """The distance of each block [n, h, w] to each of its patterns, which `index` [n, m] names: [n, m]."""
        off = self._features[0][index] - weighted_dct(blocks)[:, None]
        return np.sqrt((off**2).mean(2))


def hash_blocks(flat: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Hashes of blocks [n, d]: integers below 2^53, by one matrix product."""
    factors = np.random.default_rng(0).integers(1, (1 << 44) // flat.shape[1], flat.shape[1]).astype(np.float64)
    return flat.astype(np.float64) @ factors


def weighted_dct(blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The orthonormal DCT of blocks [n, h, w], weighted by frequency, as [n, h·w].

    Low and middle frequencies determine the similarity of letters; the weight is 1 / (1 + (f / f_half)²), with f from
    `radial_frequency`.
    """
    _, h, w = blocks.shape
    weight = 1 / (1 + (radial_frequency(h, w) / HALF_WEIGHT) ** 2)
    coefficients = basis(h) @ blocks.astype(np.float64) @ basis(w).T
    return (coefficients * weight).reshape(len(blocks), h * w).astype(np.float32)
