"""Codebooks that are learned on first use: for any font, once, and by one process of several."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from freqq.data.pythontext import reference
from freqq.errors import UserError
from freqq.image import codebooks
from freqq.image.codebooks import FOLDER, cache_folder, find_by_look, learn_codebook, look_of
from freqq.image.standard import Webp
from freqq.image.streams import decode, describe
from freqq.image.vq import VectorQuantization
from freqq.pages.glyph import GlyphConfig
from freqq.pages.glyph_pages import render_glyph

SERIF = GlyphConfig(font_path="DejaVuSerif")
PROSE = " ".join(reference().split())
EXACT = VectorQuantization(tolerance=0)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache. What is learned from is short: all of it takes a minute."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr(codebooks, "training_texts", lambda: iter([PROSE[:60_000]]))
    return tmp_path / "codebooks"


def files(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("*.safetensors"))


def test_a_look_that_no_codebook_fits_is_learned_once_and_then_its_pages_are_small(cache):
    page = next(render_glyph(PROSE[70_000:80_000], SERIF))
    assert describe(EXACT.encode(page))["coding"] == "file"
    notes: list[str] = []
    codec = EXACT.prepared([SERIF, replace(SERIF, alignment="RIGHT")], notes.append)
    assert len(notes) == len(files(cache)) == 1
    assert "about a minute" in notes[0]
    stream = codec.encode(page)
    assert describe(stream)["coding"] == "patterns"
    assert len(stream) < len(Webp(quality=100).encode(page)) / 5
    np.testing.assert_array_equal(decode(stream).pixels, page.pixels)
    # Whoever knows the look of a page finds it, and whoever does not but was told.
    assert EXACT.encode(page) == codec.encode(replace(page, style=None)) == stream
    before = [path.stat().st_mtime_ns for path in cache.iterdir()]
    assert EXACT.prepared([SERIF], notes.append).resources == codec.resources != EXACT.resources
    assert [path.stat().st_mtime_ns for path in cache.iterdir()] == before
    assert len(notes) == 1


def test_the_shipped_look_needs_nothing_and_keeps_its_streams(cache):
    codec = EXACT.prepared([GlyphConfig(), GlyphConfig(margin_x=30, line_height=10.0)], pytest.fail)
    assert not cache.exists()
    assert codec.resources == EXACT.resources


def test_a_look_without_a_codebook_is_said_and_left_to_webp(cache):
    notes: list[str] = []
    looks = [replace(SERIF, dpi=101), replace(SERIF, font_color=(255, 0, 0)), replace(SERIF, horizontal_scale=0.9)]
    assert EXACT.prepared(looks, notes.append).resources == EXACT.resources
    assert ["no codebook" in notes[0], "colours" in notes[1], "scaled" in notes[2]] == [True] * 3
    assert not cache.exists()


def test_nothing_is_learned_where_it_is_only_looked_up(cache):
    assert EXACT.prepared([SERIF], pytest.fail, watch=None).resources == EXACT.resources
    assert not cache.exists()


def test_learning_is_shown(cache):
    seen = []

    @contextmanager
    def watch() -> Iterator[object]:
        yield lambda pages: (seen.append(page) or page for page in pages)

    learn_codebook(look_of(SERIF), watch)  # type: ignore[arg-type]
    assert len(seen) > 3


def test_a_damaged_file_is_learned_anew(cache):
    book = learn_codebook(look_of(SERIF))
    (name,) = files(cache)
    (cache / name).write_bytes(b"no codebook")
    assert find_by_look(SERIF) is None
    assert learn_codebook(look_of(SERIF)).id == book.id
    assert files(cache) == [name]
    assert find_by_look(SERIF) is not None


def test_a_folder_that_cannot_be_written_is_one_clear_line(cache, monkeypatch):
    cache.write_bytes(b"a file")
    with pytest.raises(UserError, match=f"set {FOLDER} to another folder"):
        learn_codebook(look_of(SERIF))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({FOLDER: "/a", "XDG_CACHE_HOME": "/b"}, "/a/codebooks"),
        ({FOLDER: "", "XDG_CACHE_HOME": "/b"}, "/b/freqq/codebooks"),
        ({FOLDER: "", "XDG_CACHE_HOME": "", "HOME": "/home/x"}, "/home/x/.cache/freqq/codebooks"),
    ],
)
def test_the_folder_is_where_the_environment_says(variables, expected, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(cache_folder()) == expected


def test_of_several_processes_one_learns_and_the_others_wait(cache):
    program = (
        "from freqq.image import codebooks as c; from freqq.pages.glyph import GlyphConfig\n"
        "from freqq.data.pythontext import reference\n"
        "def texts():\n    print('learns', flush=True); yield ' '.join(reference().split())[:60000]\n"
        "c.training_texts = texts\n"
        "print(c.learn_codebook(c.look_of(GlyphConfig(font_path='DejaVuSerif'))).id.hex())"
    )
    start = partial(subprocess.Popen, [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    outputs = [process.communicate()[0].split() for process in (start(), start(), start())]
    assert sum(said[:1] == ["learns"] for said in outputs) == 1
    assert len({said[-1] for said in outputs}) == 1
    assert len(files(cache)) == 1
