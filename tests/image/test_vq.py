"""Vector quantization of pages: nothing is lost without tolerance, little with it, and other pages are left to WebP."""

import random
import textwrap
import zlib
from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freqq.coding.codebook_files import ELSEWHERE
from freqq.coding.stream import FRAME, CorruptStream
from freqq.data.mini import mini, pseudo_word
from freqq.data.pythontext import reference
from freqq.errors import UserError
from freqq.image import container
from freqq.image.codebooks import best_fit, with_id
from freqq.image.measures import psnr
from freqq.image.standard import Webp
from freqq.image.streams import decode, describe
from freqq.image.vq import VectorQuantization
from freqq.image.vq_codebook import read_codebook
from freqq.image.vq_patterns import Strips, darkest_gap, weighted_dct
from freqq.image.vq_training import line_pitch, train
from freqq.pages.glyph import GlyphConfig
from freqq.pages.glyph_pages import render_glyph
from freqq.pages.page import Page
from freqq.runs.rendering import Rendering

EXACT = VectorQuantization(tolerance=0)
PROSE = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, "
    "it was the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the season of "
    "Darkness, it was the spring of hope, it was the winter of despair. "
) * 40
PAGE = next(render_glyph(PROSE))
CODE = next(render_glyph("\n".join(f"    for i{k} in range({k * 7}): print(f'{{i{k}:>5}}')" for k in range(200))))


@pytest.mark.parametrize("page", [PAGE, CODE, Page(PAGE.pixels[5:431, 7:400]), Page(np.full((99, 77), 255, np.uint8))])
def test_nothing_is_lost_without_tolerance(page: Page) -> None:
    stream = EXACT.encode(page)
    assert describe(stream)["coding"] == "patterns"
    np.testing.assert_array_equal(decode(stream).pixels, page.pixels)
    assert EXACT.encode(page) == stream


@settings(max_examples=60)
@given(
    top=st.integers(0, 800), left=st.integers(0, 500), height=st.integers(1, 200), width=st.integers(1, 200),
    noise=st.booleans(), planes=st.sampled_from([0, 3]),
)  # fmt: skip
def test_pieces_of_any_size_come_back(top: int, left: int, height: int, width: int, noise: bool, planes: int) -> None:
    pixels = PAGE.pixels[top : top + height, left : left + width]
    if noise:
        pixels = np.random.default_rng(top).integers(0, 256, pixels.shape, np.uint8)
    if planes:
        pixels = np.repeat(pixels[..., None], 3, 2)
    decoded = decode(EXACT.encode(Page(pixels)))
    np.testing.assert_array_equal(decoded.pixels, pixels)


@pytest.mark.parametrize("shift", range(10))
def test_the_phase_of_the_lines_is_found(shift: int) -> None:
    moved = np.vstack([np.full((shift, PAGE.pixels.shape[1]), 255, np.uint8), PAGE.pixels[:400]])
    stream = EXACT.encode(Page(moved))
    assert describe(stream)["phase"] == (8 + shift) % 10
    np.testing.assert_array_equal(decode(stream).pixels, moved)


def test_a_dense_page_takes_less_than_9_kilobytes_and_a_lossless_webp_four_times_as_much() -> None:
    page = next(render_glyph(" ".join(reference().split())[50_000:80_000]))
    stream = EXACT.encode(page)
    assert len(stream) < 9_000
    assert len(Webp(quality=100).encode(page)) > 4 * len(stream)


def test_more_tolerance_is_shorter_and_further_away() -> None:
    strange = next(render_glyph("".join(f"{piece}¡Qué Ŵēłčømé! " for piece in textwrap.wrap(PROSE, 150))))
    streams = [VectorQuantization(tolerance=t).encode(strange) for t in (0, 8, 16, 64)]
    assert list(map(len, streams)) == sorted(map(len, streams), reverse=True)
    near = [psnr(strange.pixels, decode(stream).pixels) for stream in streams]
    assert near == sorted(near, reverse=True)
    assert near[0] == np.inf


@pytest.mark.parametrize("tolerance", [4.0, 8.0, 16.0])
def test_no_block_is_off_by_more_than_the_tolerance(tolerance: float) -> None:
    """Neither is one whose nearest pattern was replaced by a pattern near to that."""
    codec, text = VectorQuantization(tolerance=tolerance), " ".join(reference().split())
    for start in (20_000, 33_000):
        page = next(render_glyph(text[start : start + 13_000]))
        stream = codec.encode(page)
        found = describe(stream)
        book = with_id(bytes.fromhex(found["codebook"]))
        strips = Strips.of(page.pixels, book.pitch, book.patterns.block[1], found["phase"])
        before, after = (
            weighted_dct(strips.cut(pixels).reshape(-1, *strips.block))
            for pixels in (page.pixels, decode(stream).pixels)
        )
        off = np.sqrt(((before - after) ** 2).mean(1))
        assert 0 < off.max() <= tolerance * 1.001  # distances of patterns are float16 in a codebook


@pytest.mark.parametrize("tolerance", [0.0, 8.0])
@pytest.mark.parametrize("name", ["camera", "coins", "astronaut", "page", "text"])
def test_photographs_are_left_to_webp(name: str, tolerance: float) -> None:
    """Never larger than 1.05 of what the codec falls back to."""
    data = pytest.importorskip("skimage.data")
    page = Page(np.asarray(getattr(data, name)()))
    fallback = min((Webp(quality=q).encode(page) for q in ((100, 40) if tolerance else (100,))), key=len)
    stream = VectorQuantization(tolerance=tolerance).encode(page)
    assert len(stream) <= 1.05 * len(fallback)
    np.testing.assert_array_equal(decode(stream).pixels, decode(fallback).pixels)


def test_another_font_falls_back_and_loses_nothing() -> None:
    """At any tolerance: text as lossy WebP is larger."""
    page = next(render_glyph(PROSE, GlyphConfig(font_path="DejaVuSerif")))
    exact = Webp(quality=100).encode(page)
    assert len(exact) < len(Webp(quality=40).encode(page))
    for codec in (EXACT, VectorQuantization(tolerance=8)):
        stream = codec.encode(page)
        assert stream == exact
        assert describe(stream)["coding"] == "file"
        np.testing.assert_array_equal(decode(stream).pixels, page.pixels)


def test_pages_of_mini_have_a_codebook_of_their_own() -> None:
    pages = [page for sample in mini(4, 6) for page in Rendering().pages(sample)]
    for page in pages:
        stream = EXACT.encode(page)
        assert describe(stream)["codebook"] != describe(EXACT.encode(PAGE))["codebook"]
        np.testing.assert_array_equal(decode(stream).pixels, page.pixels)
        assert len(stream) < len(Webp(quality=100).encode(page)) / 5


def test_words_of_any_letters_take_little_more_than_english() -> None:
    """Of another kind than those that the codebook was trained on: vowels and consonants in turn."""
    rng = random.Random(0)
    page = next(render_glyph(" ".join(pseudo_word(rng) for _ in range(3000))))
    assert len(EXACT.encode(page)) < 1.3 * 9_000


def test_a_codebook_of_ones_own_is_found(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    looks = GlyphConfig(font_path="DejaVuSerif", line_height=12.0)
    text = " ".join(reference().split())
    book = train(render_glyph(text[:60_000], looks), line_pitch(looks))
    (tmp_path / "serif.safetensors").write_bytes(book.file)
    page = next(render_glyph(text[70_000:80_000], looks))
    with monkeypatch.context() as patch:
        patch.setenv(ELSEWHERE, str(tmp_path))
        stream = EXACT.encode(page)
        assert describe(stream)["codebook"] == book.id.hex()
        np.testing.assert_array_equal(decode(stream).pixels, page.pixels)
    with pytest.raises(UserError, match=f"the codebook {book.id.hex()} was not found"):
        decode(stream)


def test_distances_of_lines_are_ratios() -> None:
    ratios = {dpi: line_pitch(GlyphConfig(dpi=dpi)) for dpi in (72.0, 96.0, 120.0, 144.0)}
    assert ratios == {72: 10, 96: Fraction(40, 3), 120: Fraction(50, 3), 144: 20}
    for dpi in (101.0, 72.01, 600.0, 5.0):
        with pytest.raises(UserError, match="pixels apart have no codebook"):
            line_pitch(GlyphConfig(dpi=dpi))
    with pytest.raises(UserError, match="no page"):
        train([], Fraction(10))
    with pytest.raises(UserError, match="tolerance nan"):
        VectorQuantization(tolerance=float("nan"))


def test_contradicting_sections_are_corrupt() -> None:
    body = bytearray(EXACT.encode(Page(PAGE.pixels[:60, :90]))[FRAME.size :])
    at = container.HEADER.size + 8
    for change in (lambda b: b.__setitem__(at, 10), lambda b: b.__setitem__(at + 5, b[at + 5] + 1), lambda b: b.pop()):
        damaged = bytearray(body)
        change(damaged)
        frame = FRAME.pack(container.MAGIC, container.VERSION, zlib.crc32(bytes(damaged)))
        with pytest.raises(CorruptStream):
            decode(frame + bytes(damaged))


PITCHES = st.builds(Fraction, st.integers(1, 12), st.integers(1, 7)).filter(lambda pitch: pitch >= 1)


@given(st.integers(1, 60), st.integers(1, 60), PITCHES, st.integers(1, 8), st.integers(0, 11))
def test_strips_join_to_the_page(height: int, width: int, pitch: Fraction, w: int, phase: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    strips = Strips(height, width, pitch, w, phase % pitch.numerator)
    blocks = strips.cut(pixels)
    assert blocks.shape == (*strips.shape, ceil(pitch), w)
    np.testing.assert_array_equal(strips.join(blocks), pixels)
    np.testing.assert_array_equal(strips.cut(pixels, np.array([0])), blocks[:1])


@given(st.integers(1, 60), PITCHES, st.integers(0, 11), st.integers(0, 59))
def test_strips_with_ink_are_found(height: int, pitch: Fraction, phase: int, row: int) -> None:
    pixels = np.full((height, 9), 255, np.uint8)
    pixels[row % height, 4] = 0
    strips = Strips(height, 9, pitch, 3, phase % pitch.numerator)
    expected = np.flatnonzero((strips.cut(pixels) != 255).any((1, 2, 3)))
    np.testing.assert_array_equal(strips.inked(pixels), expected)


@given(PITCHES, st.integers(1, 60), st.fractions(0, 12, max_denominator=997))
def test_strips_begin_where_lines_between_pixels_do(pitch: Fraction, height: int, first: Fraction) -> None:
    """A line whose place is any number is drawn from the row on in which that lies."""
    first %= pitch
    drawn = [floor(first + k * pitch) for k in range(-1, height + 2)]
    strips = Strips(height, 3, pitch, 3, floor(first * pitch.denominator))
    begin = drawn.index(strips.edges[0])
    assert drawn[begin : begin + len(strips.edges)] == strips.edges.tolist()


def test_a_codebook_of_lines_between_pixels_codes_its_pages(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    looks = GlyphConfig(dpi=120.0, page_size=(300.0, 200.0))
    text = " ".join(reference().split())
    book = train(render_glyph(text[:40_000], looks), line_pitch(looks), size=4096)
    assert book.patterns.block == (17, 3)
    (tmp_path / "120.safetensors").write_bytes(book.file)
    read = read_codebook(tmp_path / "120.safetensors")
    assert (read.pitch, read.id) == (Fraction(50, 3), book.id)
    monkeypatch.setenv(ELSEWHERE, str(tmp_path))
    page = next(render_glyph(text[70_000:80_000], looks))
    for top in (0, 1, 5, 16):
        cut = Page(page.pixels[top:])
        stream = EXACT.encode(cut)
        assert describe(stream)["codebook"] == book.id.hex()
        np.testing.assert_array_equal(decode(stream).pixels, cut.pixels)
        assert len(stream) < 0.6 * len(Webp(quality=100).encode(cut))


def test_lines_begin_below_the_darkest_gap() -> None:
    assert darkest_gap(PAGE.pixels, Fraction(10)) == 8
    fit = best_fit(PAGE.pixels)
    assert fit is not None
    assert fit.phase == 8
    assert fit.share > 0.95
