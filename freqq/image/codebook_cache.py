"""Codebooks for looks of pages that no other codebook was made for: learned on first use, and kept in a folder.

The folder is ``codebooks`` in the one that the environment variable FREQQ_CACHE names, else in
``$XDG_CACHE_HOME/freqq`` or ``~/.cache/freqq``. A file is called ``LOOK-ID.safetensors``: a digest of the look and of
what was learned from, and the codebook's id by which streams call it. Files appear whole, and of several processes that
need the same one, one learns it while the others wait.
"""

import fcntl
import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from freqq.data.pythontext import docstrings, python_texts
from freqq.errors import UserError
from freqq.files import write_whole
from freqq.image.codebook_training import SIZE, line_pitch, text_pages, train
from freqq.image.vq_codebook import Codebook, read_codebook
from freqq.pages.fonts import font_digest
from freqq.pages.glyph import GlyphConfig
from freqq.pages.page import Page
from freqq.pages.style import font_file

FOLDER = "FREQQ_CACHE"
VERSION = 1
"""Of what is learned, and from what; another one makes other files."""

Watch: TypeAlias = Callable[[], AbstractContextManager[Callable[[Iterable[Page]], Iterable[Page]]]]
"""Shows how far learning is: a context, in which it takes the pages and gives them again."""


def unwatched() -> AbstractContextManager[Callable[[Iterable[Page]], Iterable[Page]]]:
    """Shows nothing."""
    return nullcontext(lambda pages: pages)


def cache_folder() -> Path:
    """Where the codebooks are kept; it need not exist."""
    own, shared = os.environ.get(FOLDER), os.environ.get("XDG_CACHE_HOME")
    return Path(own or Path(shared or Path.home() / ".cache") / "freqq") / "codebooks"


def training_texts() -> Iterator[str]:
    """What is learned from: that of the shipped codebook, and prose with line breaks as Glyph's evaluation has them."""
    yield from python_texts()
    yield docstrings().replace("\n", "\\n")


def look_of(config: GlyphConfig) -> GlyphConfig:
    """What of a configuration decides which blocks of pixels its pages have, on a page of the usual size.

    Raises
    ------
    UserError
        If no codebook can be learned for it: pages have colours or are scaled, or lines are no whole number of pixels
        apart.
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
    """The codebook that was learned for a configuration's look, if it is there."""
    with suppress(UserError):
        return next(_readable(f"{_digest(look_of(config))}-*.safetensors"), None)
    return None


def find_by_id(name: bytes) -> Codebook | None:
    """The codebook that a stream names, if it is there."""
    return next((book for book in _readable(f"*-{name.hex()}.safetensors") if book.id == name), None)


def learned(look: GlyphConfig, watch: Watch = unwatched) -> Codebook:
    """The codebook for a look (`look_of`), learned now unless it is there; that takes about a minute.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    folder, digest = cache_folder(), _digest(look)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder / f".{digest}.lock"):
            if (found := find_by_look(look)) is not None:
                return found
            with watch() as watched:
                book = train(watched(text_pages(training_texts(), look)), line_pitch(look), size=SIZE)
            path = folder / f"{digest}-{book.id.hex()}.safetensors"
            write_whole(path, lambda temporary: temporary.write_bytes(book.file))
    except OSError as error:
        raise UserError(f"cannot write to {folder} ({error.strerror}): set {FOLDER} to another folder") from error
    return book


def cached() -> Iterator[Codebook]:
    """All that were learned."""
    return _readable("*.safetensors")


def _readable(pattern: str) -> Iterator[Codebook]:
    """Those of the files that are whole."""
    for path in sorted(cache_folder().glob(pattern)):
        with suppress(UserError, OSError):
            yield _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _read(path: Path, stamp: int) -> Codebook:
    return read_codebook(path)


def _digest(look: GlyphConfig) -> str:
    file = font_file(look.font_path)
    font = _font_digest(look.font_path, os.stat(file).st_mtime_ns)
    # What is learned from comes with Python.
    described = json.dumps([VERSION, platform.python_version(), {**asdict(look), "font_path": font}], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:16]


@lru_cache(maxsize=16)
def _font_digest(font: str, stamp: int) -> str:
    return font_digest(font)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process of this host has the file, and have it."""
    with path.open("w") as file:
        with suppress(
            OSError
        ):  # a file system without locks: two processes then learn the same, and both write it whole
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
