"""Train a codebook: the most frequent blocks of rendered text, and their sequences along its lines."""

from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from math import ceil

import numpy as np
from numpy.typing import NDArray

from freqq.coding.rans import ESCAPE, MOST_BITS, Automaton, scaled
from freqq.errors import UserError
from freqq.image.vq_codebook import MOST_PHASES, MOST_SIDE, Codebook, Contexts
from freqq.image.vq_patterns import Patterns, Strips, darkest_gap
from freqq.pages.glyph import GlyphConfig
from freqq.pages.glyph_pages import render_glyph
from freqq.pages.page import Page

NEIGHBOURS = 4
SIZE = 20480
"""Enough patterns for nearly all of Latin text in one look."""

FEWEST_BITS, SPARE = 7, 3
"""A state's frequencies sum to at least 2^7 and at least 2^3 times the number of its entries."""

ESCAPES = 0.5
"""Weight of an escape per entry of a state: half of Witten and Bell's estimate for unseen symbols."""


def text_pages(texts: Iterable[str], config: GlyphConfig) -> Iterator[Page]:
    """The pages of texts; each text starts a new page."""
    for text in texts:
        yield from render_glyph(text, config)


def line_pitch(config: GlyphConfig) -> Fraction:
    """Distance of two lines in pixels, such as 50/3 at 120 dpi.

    Raises
    ------
    UserError
        If it is more than `MOST_SIDE`, or no such ratio: then lines begin at too many places between two rows.
    """
    pitch = (config.line_height or config.font_size + 1) * config.dpi / 72
    for q in range(1, MOST_PHASES + 1):
        ratio = Fraction(round(pitch * q), q)
        if abs(pitch - ratio) <= 1e-6 and 1 <= ratio <= MOST_SIDE and ratio.numerator <= MOST_PHASES:
            return ratio
    raise UserError(
        f"lines {pitch:g} pixels apart have no codebook: choose a line height and a dpi that give 1 to {MOST_SIDE} "
        f"pixels, and whole pixels again after at most {MOST_PHASES} of them"
    )


def train(pages: Iterable[Page], pitch: Fraction, width: int = 3, size: int = 16384, pair_least: int = 90) -> Codebook:
    """A codebook of the `size` most frequent blocks of pages, and their sequences.

    Parameters
    ----------
    pages : iterable of gray pages
    pitch : Fraction
        The distance of two lines of text in pixels, of which a block's height is the next whole number.
    width : int
        Of a block, px.
    pair_least : int
        How often two patterns must follow each other to become a context.

    Raises
    ------
    UserError
        If a page is not gray, or there is none.
    """
    height = ceil(pitch)
    cuts: list[NDArray[np.uint8]] = []
    counts: Counter[bytes] = Counter()
    for page in pages:
        if page.pixels.ndim != 2:
            raise UserError("a codebook is trained on gray pages, and one of these has colours")
        phase = darkest_gap(page.pixels, pitch)
        blocks = np.ascontiguousarray(Strips.of(page.pixels, pitch, width, phase).cut(page.pixels))
        rows, columns = blocks.shape[:2]
        names = blocks.reshape(rows * columns, -1).view(f"V{height * width}").ravel()
        found, times = np.unique(names, return_counts=True)
        counts.update({f.tobytes(): int(t) for f, t in zip(found, times, strict=True)})
        cuts.append(blocks)
    if not cuts:
        raise UserError("there is no page to train a codebook on")
    chosen = sorted(counts, key=lambda name: (-counts[name], name))[:size]
    patterns = Patterns(np.frombuffer(b"".join(chosen), np.uint8).reshape(-1, height, width))
    rows, unknown = _symbols(patterns, cuts)
    pairs, source = learn(rows, len(patterns), pair_least)
    escapes = np.bincount(source.walk(np.where(unknown, -1 - rows, rows))[1], minlength=len(patterns)) + 1
    neighbours, distances = neighbourhood(patterns)
    return Codebook(patterns, pitch, neighbours, distances, pairs, source, escapes.astype(np.uint32))


def neighbourhood(patterns: Patterns) -> tuple[NDArray[np.uint16], NDArray[np.float16]]:
    """The patterns nearest to each, itself first, and their distances."""
    own = np.arange(len(patterns))[:, None]
    index, distance = patterns.ranked(patterns.array, min(NEIGHBOURS, len(patterns)))
    absent = (index != own).all(1)
    index[absent, -1] = own[absent, 0]
    distance[index == own] = -1  # first, even if rounding makes a nearly equal one closer
    order = distance.argsort(1, kind="stable")
    index, distance = np.take_along_axis(index, order, 1), np.take_along_axis(distance, order, 1)
    return index.astype(np.uint16), np.maximum(distance, 0).astype(np.float16)


def _symbols(patterns: Patterns, cuts: list[NDArray[np.uint8]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows of pattern indices, of equal length, and a mask of those that only approximate their block."""
    longest = max(blocks.shape[1] for blocks in cuts)
    rows, unknown = [], []
    for blocks in cuts:
        flat = blocks.reshape(-1, *patterns.block)
        index = patterns.exact(flat)
        missed = np.flatnonzero(index < 0)
        index[missed] = patterns.nearest(flat[missed])[0]
        mask = np.zeros(len(index), bool)
        mask[missed] = True
        padding = ((0, 0), (0, longest - blocks.shape[1]))
        rows.append(np.pad(index.reshape(blocks.shape[:2]), padding))
        unknown.append(np.pad(mask.reshape(blocks.shape[:2]), padding))
    return np.concatenate(rows), np.concatenate(unknown)


def learn(rows: NDArray[np.integer], symbols: int, pair_least: int) -> tuple[NDArray[np.int64], Automaton]:
    """The pairs that are contexts, and the automaton, for rows [n, steps] of symbols 0 .. `symbols` - 1.

    A pair is a context if it occurs at least `pair_least` times: a rarer one has too few successors and escapes too
    often.
    """
    padded = np.concatenate([np.full((len(rows), 2), -1), rows.astype(np.int64)], 1)
    before, last, now = (padded[:, i : padded.shape[1] - 2 + i].ravel() for i in range(3))
    inside = before >= 0
    keys, counts = np.unique(before[inside] * symbols + last[inside], return_counts=True)
    keys = keys[counts >= pair_least]
    pairs = np.stack([keys // symbols, keys % symbols], 1)
    contexts = Contexts(symbols, pairs)
    keys, counts = np.unique(contexts.state(before, last) * symbols + now, return_counts=True)
    return pairs, contexts.automaton(*_with_escapes(keys // symbols, keys % symbols, counts, len(contexts.last)))


def _with_escapes(
    state: NDArray[np.int64], symbol: NDArray[np.int64], counts: NDArray[np.int64], states: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Entries sorted by state, each state ending with an escape, as starts, symbols and frequencies."""
    entries = np.bincount(state, minlength=states)
    starts = np.concatenate([[0], np.cumsum(entries + 1)])
    escapes = starts[1:] - 1
    named = np.full(starts[-1], ESCAPE)
    weights = np.empty(starts[-1])
    listed = np.ones(starts[-1], bool)
    listed[escapes] = False
    named[listed], weights[listed] = symbol, counts
    weights[escapes] = np.maximum(ESCAPES * entries, ESCAPES)
    frequencies = np.empty(starts[-1], np.int64)
    for first, end in pairwise(starts):
        bits = min(MOST_BITS, max(FEWEST_BITS, int(end - first - 1).bit_length() + SPARE))
        frequencies[first:end] = scaled(weights[first:end], bits)
    return starts, named, frequencies
