"""Frequency-aware vector quantization of text pages: a pattern's index for every block of a line.

The stream, after the header of `freqq.image.container`:

    8 bytes   the codebook: the start of its file's SHA-256
    1 byte    phase of the strips, see `freqq.image.vq_patterns.Strips`
    4 bytes   words      4 bytes   escaped symbols      4 bytes   words of those      4 bytes   raw blocks
    4 bytes   for each strip: its decoder's initial state
    2 bytes   for each word
    ...       the escaped symbols in the same format, in up to 16 rows
    sections  LZMA: a bit for each escape, set if it is raw; differences of raw blocks from their patterns, column by
              column (bytes)

An escape is a pattern that its context does not list. A raw one is a block that is not in the codebook.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from freqq.coding import rans
from freqq.coding.codebook_files import ID_BYTES
from freqq.coding.stream import StreamReader
from freqq.data.pythontext import reference
from freqq.errors import UserError
from freqq.image import container
from freqq.image.base import ImageCodec, Watch, unwatched
from freqq.image.codebooks import best_fit, cache_folder, codebooks, find_by_look, learn_codebook, look_of, with_id
from freqq.image.embedded import read_file
from freqq.image.standard import Webp
from freqq.image.vq_codebook import Codebook
from freqq.image.vq_patterns import Strips
from freqq.pages.glyph import GlyphConfig
from freqq.pages.glyph_pages import render_glyph
from freqq.pages.page import Page

VQ_HEADER = struct.Struct(f"<{ID_BYTES}sBIIII")
ESCAPE_ROWS = 16
"""Most rows of escaped symbols coded in parallel."""

FALLBACK_QUALITY = 40
"""The quality of lossy WebP for photographs and the like; text is shorter without loss."""

FEWEST_EXACT, SURE = 0.5, 0.9
"""A codebook that knows less than the first share of a page does not fit it; one that knows the second share does."""

PROBED = 6000
"""Characters of prose that are rendered to test whether a codebook fits a look."""


@dataclass(frozen=True)
class VectorQuantization(ImageCodec):
    """Replace each block (as high as a line of text) by a pattern of a codebook; code indices in context.

    Blocks of 10 x 3 pixels of text at 72 dpi show about ten thousand different patterns. The distance of two lines need
    not be a whole number of pixels (it is 13 1/3 at 96 dpi and 16 2/3 at 120). The codebook holds the most frequent
    patterns unchanged, because averages (Lloyd's centroids) would blur letters. Another block takes the nearest pattern
    by a weighted DCT in which low and middle frequencies count most; if that differs by more than `tolerance`, the
    exact difference is stored too. Indices are entropy-coded in the context of the one or two patterns to the left.
    With a tolerance above 0, another pattern within it may replace one that the context does not expect, as in
    entropy-constrained vector quantization.

    The codebook and the phase of the lines are those that fit the page best. For a look without a codebook, `prepared`
    learns one (`freqq.image.codebooks`). A page that no codebook fits (a photograph, colours, Chinese) is stored as
    WebP: without loss, or at a tolerance above 0 with quality 40 if that is shorter.

    Since the patterns themselves are sharp, errors at high levels are letters replaced by others.

    Formula
    -------
    i(B) = argmin over patterns p of ‖W · DCT(B - p)‖ / √n, W falling with frequency; if that is over `tolerance`, B - p
    is stored as well. The cost of an index is -log2 P(i | the one or two to the left).

    Parameters
    ----------
    tolerance : float, 0 or more
        Root mean square of the weighted difference, in gray levels, up to which a block may be replaced. 0 is lossless.

    Source
    ------
    "Frequency-Aware Vector Quantization for VLM Compression" names, but does not implement it. Entropy-constrained
    choice: Chou, Lookabaugh, Gray, IEEE Transactions on Acoustics, Speech and Signal Processing 37(1), 1989.
    """

    tolerance: float = 8.0

    LEVELS = {
        "ultra_mild": {"tolerance": 0.0},
        "mild": {"tolerance": 8.0},
        "aggressive": {"tolerance": 16.0},
        "extreme": {"tolerance": 64.0},
    }

    def __post_init__(self) -> None:
        if not self.tolerance >= 0:  # also refuses NaN
            raise UserError(f"tolerance {self.tolerance:g}: give gray levels from 0 on, such as 8")

    learned: ClassVar[tuple[str, ...]] = ()
    """Ids of the codebooks that `prepared` learned or found."""

    @property
    def resources(self) -> tuple[str, ...]:
        """Ids of all codebooks."""
        return tuple(sorted({*(book.id.hex() for book in codebooks()), *self.learned}))

    def prepared(
        self,
        configs: Iterable[GlyphConfig],
        note: Callable[[str], object] = lambda text: None,
        watch: Watch | None = unwatched,
    ) -> Self:
        """The codec with a codebook for each of these configurations' looks, learned if none fits."""
        ids: set[str] = set()
        for config in dict.fromkeys(configs):
            try:
                look = look_of(config)
            except UserError as error:
                note(f"image-vq has no codebook for {config.font_path} and stores its pages by WebP: {error}")
                continue
            book = find_by_look(look)
            if book is None and watch is not None and not _fits(look):
                note(
                    f"learning a codebook for image-vq from pages in {config.font_path}: about a minute, once; it is "
                    f"kept in {cache_folder()}"
                )
                book = learn_codebook(look, watch)
            if book is not None:
                ids.add(book.id.hex())
        prepared = copy(self)
        object.__setattr__(prepared, "learned", tuple(sorted(ids)))
        return prepared

    def encode(self, page: Page) -> bytes:
        """The page's patterns as a stream, or its WebP file in one."""
        container.check_size(*page.pixels.shape[:2])
        pixels = page.pixels
        if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
            pixels = pixels[..., 0]
        fit = best_fit(pixels, self._likely(page)) if pixels.ndim == 2 else None
        if fit is None or fit.share < FEWEST_EXACT:
            return self._webp(page)
        stream = _encode(page, pixels, fit.book, fit.phase, self.tolerance)
        return stream if fit.share >= SURE else min(stream, self._webp(page), key=len)

    def _likely(self, page: Page) -> Iterator[Codebook]:
        """The codebook learned for the page's look, then those that this codec was prepared with."""
        own = find_by_look(page.style) if isinstance(page.style, GlyphConfig) else None
        if own is not None:
            yield own
        for name in self.learned:
            if own is None or own.id.hex() != name:
                yield with_id(bytes.fromhex(name))

    def decode(self, stream: bytes) -> Page:
        """The page of a stream, which names its codebook."""
        return read_file(stream) if container.opened(stream)[0].coding == container.FILE else read_patterns(stream)

    def _webp(self, page: Page) -> bytes:
        exact = Webp(quality=100).encode(page)
        return min(exact, Webp(quality=FALLBACK_QUALITY).encode(page), key=len) if self.tolerance else exact


def _fits(look: GlyphConfig) -> bool:
    """Whether an available codebook knows the blocks of a look."""
    page = next(render_glyph(" ".join(reference().split())[:PROBED], look))
    fit = best_fit(page.pixels)
    return fit is not None and fit.share >= SURE


def _encode(page: Page, pixels: NDArray[np.uint8], book: Codebook, phase: int, tolerance: float) -> bytes:
    strips = Strips.of(pixels, book.pitch, book.patterns.block[1], phase)
    blocks = strips.cut(pixels)
    rows, columns, h, w = blocks.shape
    flat = np.ascontiguousarray(blocks).reshape(-1, h, w)
    symbols = book.patterns.exact(flat)
    missed = np.flatnonzero(symbols < 0)
    nearest, distance = book.patterns.nearest(flat[missed])
    symbols[missed] = np.where(distance > tolerance, -1 - nearest, nearest)
    choices, others = symbols.copy(), None
    if tolerance:
        others = np.where(book.distances <= tolerance, book.neighbours, book.neighbours[:, :1])
        # What is near to a block's pattern need not be near to the block, so such a block has a choice of its own.
        off = missed[distance <= tolerance]
        near = others[symbols[off]]
        choices[off] = len(others) + np.arange(len(off))
        too_far = book.patterns.distances(flat[off], near) > tolerance
        others = np.concatenate([others, np.where(too_far, near[:, :1], near)])
    symbols, choices = (array.reshape(rows, columns) for array in (symbols, choices))
    entries, escaped = book.source.walk(choices, others)
    words, states = rans.encode(book.source, entries)
    escape_words, escape_states = rans.encode(book.escaped, _in_rows(escaped))
    is_raw = symbols.T[book.source.symbols[entries].T == rans.ESCAPE] < 0
    step, row = np.nonzero(symbols.T < 0)
    differences = blocks[row, step] - book.patterns.array[-1 - symbols[row, step]]
    writer = container.start(container.VQ, page)
    writer.header(VQ_HEADER, book.id, phase, len(words), len(escaped), len(escape_words), len(differences))
    for array in (states, words, escape_states, escape_words):
        writer.array(array)
    writer.lzma_section(np.packbits(is_raw))
    writer.lzma_section(differences.swapaxes(1, 2))
    return writer.finish()


def read_patterns(stream: bytes) -> Page:
    """The page of a stream of patterns.

    Raises
    ------
    CorruptStream
        If it is not a complete, undamaged stream of patterns.
    MissingCodebook
        If its codebook is not available.
    """
    (_, planes, height, width), reader = container.opened_as(container.VQ, stream)
    name, phase, words, escapes, escape_words, raw = reader.header(VQ_HEADER)
    book = with_id(name)
    h, w = book.patterns.block
    strips = Strips(height, width, book.pitch, w, phase)
    rows, columns = strips.shape
    if phase >= book.pitch.numerator or escapes > rows * columns or raw > escapes:
        raise reader.corrupt(
            f"phase {phase}, {escapes} escapes and {raw} raw blocks do not fit {rows} x {columns} blocks"
        )
    states, coded = reader.array(rows, "<u4"), reader.array(words, "<u2")
    escaped = _read_escapes(reader, book, escapes, escape_words)
    is_raw = np.unpackbits(reader.lzma_section(-(-escapes // 8), "u1"), count=escapes).astype(bool)
    differences = reader.lzma_section(raw * h * w, "u1").reshape(raw, w, h).swapaxes(1, 2)
    reader.end()
    symbols = rans.decode(book.source, coded, states, columns, escaped)
    if symbols is None or is_raw.sum() != raw:
        raise reader.corrupt("its sections contradict each other")
    step, row = (index[is_raw] for index in np.nonzero(symbols.T < 0))
    blocks = book.patterns.array[np.where(symbols < 0, -1 - symbols, symbols)]
    blocks[row, step] += differences
    pixels = strips.join(blocks)
    return Page(pixels if planes == 1 else np.repeat(pixels[..., None], 3, 2))


def describe_patterns(stream: bytes) -> dict[str, Any]:
    """The header of a stream of patterns."""
    name, phase, _, escapes, _, raw = container.opened_as(container.VQ, stream)[1].header(VQ_HEADER)
    return {"codebook": name.hex(), "phase": phase, "escapes": escapes, "raw_blocks": raw}


def _in_rows(symbols: NDArray[np.int64]) -> NDArray[np.int64]:
    """Symbols [n] in at most `ESCAPE_ROWS` rows [rows, steps], filled up with symbol 0."""
    rows, steps = _grid(len(symbols))
    return np.pad(symbols, (0, rows * steps - len(symbols))).reshape(steps, rows).T


def _grid(count: int) -> tuple[int, int]:
    rows = min(count, ESCAPE_ROWS)
    return rows, -(-count // ESCAPE_ROWS)


def _read_escapes(reader: StreamReader, book: Codebook, count: int, words: int) -> NDArray[np.int64]:
    rows, steps = _grid(count)
    states, coded = reader.array(rows, "<u4"), reader.array(words, "<u2")
    symbols = rans.decode(book.escaped, coded, states, steps, np.zeros(0, np.int64))
    if symbols is None:
        raise reader.corrupt("its escapes do not decode")
    return symbols.T.ravel()[:count]
