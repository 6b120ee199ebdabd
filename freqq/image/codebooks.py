"""Which codebooks there are, and which of them fits a page."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from freqq.coding.codebook_files import ELSEWHERE, MissingCodebook, codebook_files, named
from freqq.image.codebook_cache import find_by_id
from freqq.image.strips import WHITE, Strips, darkest_gap
from freqq.image.vq_codebook import Codebook, read_codebook

__all__ = ["ELSEWHERE", "Fit", "MissingCodebook", "best_fit", "codebooks", "with_id"]

SHIPPED = Path(__file__).parent / "codebooks"

TRIED_STRIPS, ENOUGH = 8, 0.9
"""Strips that are looked at to see whether a codebook fits, and what share of their blocks ends the search."""


@cache
def _load(path: Path) -> Codebook:
    return read_codebook(path)


def codebooks() -> Iterator[Codebook]:
    """All codebooks: those of the folder that `ELSEWHERE` names, and the shipped ones."""
    return map(_load, codebook_files(SHIPPED, "patterns"))


def with_id(name: bytes) -> Codebook:
    """The codebook that a stream names; those that were learned on first use are found, too.

    Raises
    ------
    MissingCodebook
        If it is not there.
    """
    with suppress(MissingCodebook):
        return named(codebooks(), name)
    if (book := find_by_id(name)) is None:
        raise MissingCodebook(name)
    return book


@dataclass(frozen=True)
class Fit:
    """A codebook, the phase at which a page's lines begin, and what share of its blocks that are not blank it knows."""

    book: Codebook
    phase: int
    share: float


def best_fit(pixels: NDArray[np.uint8], likely: Iterable[Codebook] = ()) -> Fit | None:
    """The first codebook that knows enough of a gray page, else that which knows most. None without any codebook.

    The `likely` ones are tried first. A page that is all blank fits every codebook wholly.
    """
    best: Fit | None = None
    for book in chain(likely, codebooks()):
        fit = _fit(pixels, book)
        if best is None or fit.share > best.share:
            best = fit
        if fit.share > ENOUGH:
            break
    return best


def _fit(pixels: NDArray[np.uint8], book: Codebook) -> Fit:
    """The best phase for a codebook, judged by some of the page's strips; the likeliest is tried first."""
    pitch = book.patterns.block[0]
    likely = darkest_gap(pixels, pitch)
    best = Fit(book, likely, 0.0)
    for phase in sorted(range(pitch), key=lambda p: p != likely):
        strips = Strips.of(pixels, book.patterns.block, phase)
        inked = strips.inked(pixels)
        tried = strips.cut(pixels, inked[:: max(1, len(inked) // TRIED_STRIPS)]).reshape(-1, *book.patterns.block)
        tried = tried[(tried != WHITE).any((1, 2))]
        share = float((book.patterns.exact(tried) >= 0).mean()) if len(tried) else 1.0
        best = max(best, Fit(book, phase, share), key=lambda fit: fit.share)
        if share > ENOUGH:
            break
    return best
