"""Find the codebook that fits a page: shipped ones, those of a folder, and learned ones.

For looks of pages without a codebook, one is learned on first use and kept in ``codebooks`` under the folder in the
environment variable FREQQ_CACHE, else ``$XDG_CACHE_HOME/freqq`` or ``~/.cache/freqq``. Its file is
``LOOK-ID.safetensors``: a digest of the look and the training data, and the codebook's id. Files are written
atomically; if several processes need the same one, one learns it while the others wait.
"""

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from freqq.cache import FOLDER, alone
from freqq.cache import folder as kept_in
from freqq.coding.codebook_files import codebook_files, named
from freqq.data.pythontext import docstrings, python_texts
from freqq.errors import UserError
from freqq.files import write_whole
from freqq.image.base import Watch, unwatched
from freqq.image.vq_codebook import Codebook, read_codebook
from freqq.image.vq_patterns import WHITE, Strips, darkest_gap
from freqq.image.vq_training import SIZE, line_pitch, text_pages, train
from freqq.pages.fonts import font_digest
from freqq.pages.glyph import GlyphConfig
from freqq.pages.style import font_file

SHIPPED = Path(__file__).parent / "codebooks"

TRIED_STRIPS, ENOUGH = 8, 0.9
"""Strips that are tried to judge a codebook, and the share of known blocks that ends the search."""


@cache
def _load(path: Path) -> Codebook:
    return read_codebook(path)


def codebooks() -> Iterator[Codebook]:
    """All codebooks: those of the folder in `freqq.coding.codebook_files.ELSEWHERE`, and the shipped ones."""
    return map(_load, codebook_files(SHIPPED, "patterns"))


def with_id(name: bytes) -> Codebook:
    """The codebook that a stream names, including learned ones.

    Raises
    ------
    MissingCodebook
        If it is not available.
    """
    return named(chain(codebooks(), _readable(f"*-{name.hex()}.safetensors")), name)


@dataclass(frozen=True)
class Fit:
    """A codebook, the phase of a page's lines, and the share of the page's non-blank blocks that it knows."""

    book: Codebook
    phase: int
    share: float


def best_fit(pixels: NDArray[np.uint8], likely: Iterable[Codebook] = ()) -> Fit | None:
    """The first codebook that knows enough of a gray page, else the one that knows most; None without any codebook.

    The `likely` ones are tried first. A blank page fits every codebook.
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
    """The best phase for a codebook, judged by some of the page's strips; the most likely is tried first."""
    likely = darkest_gap(pixels, book.pitch)
    best = Fit(book, likely, 0.0)
    for phase in sorted(range(book.pitch.numerator), key=lambda p: p != likely):
        strips = Strips.of(pixels, book.pitch, book.patterns.block[1], phase)
        inked = strips.inked(pixels)
        tried = strips.cut(pixels, inked[:: max(1, len(inked) // TRIED_STRIPS)]).reshape(-1, *book.patterns.block)
        tried = tried[(tried != WHITE).any((1, 2))]
        share = float((book.patterns.exact(tried) >= 0).mean()) if len(tried) else 1.0
        best = max(best, Fit(book, phase, share), key=lambda fit: fit.share)
        if share > ENOUGH:
            break
    return best


def cache_folder() -> Path:
    """The folder of learned codebooks; it need not exist."""
    return kept_in("codebooks")


VERSION = 1
"""Version of the training and its data; a change gives other files."""


def training_texts() -> Iterator[str]:
    """The training data: those of the shipped codebook, and prose with line breaks as in Glyph's evaluation."""
    yield from python_texts()
    yield docstrings().replace("\n", "\\n")


def look_of(config: GlyphConfig) -> GlyphConfig:
    """The part of a configuration that determines the blocks of pixels of its pages, with the default page size.

    Raises
    ------
    UserError
        If no codebook can be learned for it: its pages have colours or are scaled, or `line_pitch` refuses the distance
        of its lines.
    """
    kept = ("font_path", "font_size", "dpi", "font_color", "page_bg_color", "para_bg_color")
    look = replace(GlyphConfig(), line_height=config.leading, **{name: getattr(config, name) for name in kept})
    line_pitch(look)
    colors = (config.font_color, config.page_bg_color, config.para_bg_color, config.para_border_color)
    if any(color and len(set(color)) > 1 for color in (*colors, *config.newline.values()) if isinstance(color, tuple)):
        raise UserError("its pages have colours")
    if config.horizontal_scale != 1:
        raise UserError("its pages are scaled")
    return look


def find_by_look(config: GlyphConfig) -> Codebook | None:
    """The codebook learned for a configuration's look, if there is one."""
    with suppress(UserError):
        return next(_readable(f"{_digest(look_of(config))}-*.safetensors"), None)
    return None


def learn_codebook(look: GlyphConfig, watch: Watch = unwatched) -> Codebook:
    """The codebook for a look (`look_of`); learned now if there is none, which takes about a minute.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    folder, digest = cache_folder(), _digest(look)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder / f".{digest}.lock"):
            if (found := find_by_look(look)) is not None:
                return found
            with watch() as watched:
                book = train(watched(text_pages(training_texts(), look)), line_pitch(look), size=SIZE)
            path = folder / f"{digest}-{book.id.hex()}.safetensors"
            write_whole(path, lambda temporary: temporary.write_bytes(book.file))
    except OSError as error:
        raise UserError(f"cannot write to {folder} ({error.strerror}): set {FOLDER} to another folder") from error
    return book


def learned_codebooks() -> Iterator[Codebook]:
    """All learned codebooks."""
    return _readable("*.safetensors")


def _readable(pattern: str) -> Iterator[Codebook]:
    """The codebooks of undamaged files."""
    for path in sorted(cache_folder().glob(pattern)):
        with suppress(UserError, OSError):
            yield _read_stamped(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _read_stamped(path: Path, stamp: int) -> Codebook:
    return read_codebook(path)


def _digest(look: GlyphConfig) -> str:
    file = font_file(look.font_path)
    font = _font_digest(look.font_path, os.stat(file).st_mtime_ns)
    # The training data come with Python.
    described = json.dumps([VERSION, platform.python_version(), {**asdict(look), "font_path": font}], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:16]


@lru_cache(maxsize=16)
def _font_digest(font: str, stamp: int) -> str:
    return font_digest(font)
