"""Glyphs: their pixels, their advances, and how an atlas keeps them."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.rl_accel import fp_str

from freqq.errors import UserError
from freqq.pages import atlas as atlas_module
from freqq.pages.atlas import BLANK, PHASES, Atlas, Raster, pdf_number
from freqq.pages.style import font_file

FONTS = ["DejaVuSans", "DejaVuSerif", "DejaVuSansMono"]
TEXTS = st.text(max_size=40)
LETTERS = "aghlmoyAQ&@"


def stored(glyphs, slot, phase):
    """A glyph's ink as the atlas keeps it, without blank rows."""
    start, width = glyphs.starts[slot, phase], glyphs.widths[slot, phase]
    ink = BLANK - glyphs.columns[start : start + width].T
    rows = np.flatnonzero(ink.any(axis=1))
    return ink[rows[0] : rows[-1] + 1] if len(rows) else ink[:0]


def trimmed(bitmap):
    rows = np.flatnonzero(bitmap.ink.any(axis=1))
    return bitmap.ink[rows[0] : rows[-1] + 1] if len(rows) else bitmap.ink[:0]


@given(st.lists(TEXTS, max_size=4), st.sampled_from(FONTS), st.sampled_from([7, 9.5, 15]), st.booleans())
def test_an_atlas_keeps_every_glyph_as_it_is_rasterised(texts, font, size, hinted):
    glyphs = Atlas(font, size, hinted)
    for text in texts:
        glyphs.slots(text)
    text = "".join(texts)
    for char, slot in zip(text, glyphs.slots(text), strict=True):
        for phase in range(glyphs.phases):
            bitmap = glyphs.bitmap(glyphs.number(ord(char)), phase)
            assert np.array_equal(stored(glyphs, slot, phase), trimmed(bitmap)) or not bitmap.ink.any()
            assert glyphs.widths[slot, phase] == bitmap.ink.shape[1]
            assert glyphs.lefts[slot, phase] == bitmap.left


def test_an_atlas_that_has_grown_too_large_starts_anew_and_still_gives_the_same_glyphs(monkeypatch):
    texts = ("abc", "xyz", "äöü", "abc")
    free = Atlas("DejaVuSans", 9)
    slots = [free.slots(text) for text in texts]
    monkeypatch.setattr(atlas_module, "MAX_BYTES", 500)
    bound = Atlas("DejaVuSans", 9)
    for text, expected in zip(texts, slots, strict=True):
        for a, b in zip(expected, bound.slots(text), strict=True):
            assert np.array_equal(stored(free, a, 3), stored(bound, b, 3))
    assert len(bound.widths) < len(free.widths)


@pytest.mark.parametrize("font", FONTS)
@pytest.mark.parametrize("char", LETTERS)
def test_a_phase_moves_ink_by_a_quarter_of_a_pixel_and_keeps_its_amount(font, char):
    raster = Raster(font, 9)
    number = raster.number(ord(char))
    bitmaps = [raster.bitmap(number, phase) for phase in range(PHASES)]
    amounts = [b.ink.sum() for b in bitmaps]
    centres = [b.left + np.average(np.arange(b.ink.shape[1]), weights=b.ink.sum(axis=0)) for b in bitmaps]
    assert np.allclose(amounts, amounts[0], rtol=0.03)
    assert np.allclose(np.diff(centres), 1 / PHASES, atol=0.12)


@pytest.mark.parametrize(("size", "phases"), [(9, 4), (20, 4), (32, 1), (100, 1)])
def test_large_glyphs_start_at_whole_pixels(size, phases):
    assert Raster("DejaVuSans", size).phases == phases


@pytest.mark.parametrize("font", FONTS)
@pytest.mark.parametrize("hinted", [False, True])
def test_what_the_font_lacks_has_the_ink_of_its_missing_glyph(font, hinted):
    glyphs = Atlas(font, 9, hinted)
    slots = glyphs.slots("\x01\u4e2d\ud800\U0010fffd\t")
    assert len(set(slots.tolist())) == 1
    assert stored(glyphs, slots[0], 0).sum() > 255
    assert glyphs.slots("a")[0] != slots[0]


@pytest.mark.parametrize("hinted", [False, True])
def test_a_no_break_space_is_a_space(hinted):
    glyphs = Atlas("DejaVuSans", 9, hinted)
    a, b = glyphs.slots(" \xa0")
    assert a == b
    assert not glyphs.widths[a].any()
    assert glyphs.width(" ") == glyphs.width("\xa0") > 0


@given(TEXTS, TEXTS)
def test_advances_add_up_and_grow_with_the_size(first, second):
    glyphs, doubled = Atlas("DejaVuSans", 9), Atlas("DejaVuSans", 18)
    assert glyphs.width(first + second) == pytest.approx(glyphs.width(first) + glyphs.width(second))
    assert doubled.width(first) == pytest.approx(2 * glyphs.width(first))
    slots = glyphs.slots(first)
    assert glyphs.thousandths[slots].sum() * 0.009 == pytest.approx(glyphs.width(first), rel=1e-5)
    assert glyphs.advances[slots].sum() == pytest.approx(glyphs.width(first))


def test_mono_glyphs_are_seven_pixels_wide():
    glyphs = Atlas("DejaVuSansMono", 14336 / 1233, hinted=True)
    assert [glyphs.width(c) for c in "iW m."] == pytest.approx([7.0] * 5, abs=1 / 32)


@pytest.mark.parametrize(("font", "size"), [("DejaVuSansMono", 14336 / 1233), ("DejaVuSans", 9.0), ("DejaVuSans", 12)])
def test_hinted_glyphs_are_those_of_pillow(font, size):
    glyphs = Atlas(font, size, hinted=True)
    peer = ImageFont.truetype(font_file(font), size, layout_engine=ImageFont.Layout.BASIC)
    assert peer.getmetrics() == (glyphs.ascent, glyphs.height - glyphs.ascent)
    for char in map(chr, range(33, 127)):
        box, pen = glyphs.glyph(char)
        image = Image.new("L", box.shape[::-1])
        ImageDraw.Draw(image).text((pen, 0), char, font=peer, fill=255)
        assert np.array_equal(box, np.asarray(image)), char


@given(st.floats(-1e6, 1e6) | st.floats(-2, 2))
def test_a_number_is_rounded_as_reportlab_writes_it(value):
    assert pdf_number(value) == float(fp_str(value))


@pytest.mark.parametrize("size", [0, -1, 1025, float("nan"), float("inf")])
def test_a_size_out_of_range_is_refused(size):
    with pytest.raises(UserError, match="size must be over 0"):
        Atlas("DejaVuSans", size)


@pytest.mark.parametrize("content", [b"", b"no font", b"\x00\x01\x00\x00" + bytes(200)])
def test_a_file_that_is_no_font_is_refused(tmp_path, content):
    path = tmp_path / "some.ttf"
    path.write_bytes(content)
    with pytest.raises(UserError, match="give a TrueType file"):
        Atlas(str(path), 9)


@given(cut=st.integers(1, 757_000), at=st.integers(0, 700_000), junk=st.binary(min_size=1, max_size=64))
def test_a_damaged_font_is_used_or_refused(tmp_path_factory, cut, at, junk):
    whole = bytearray(Path(font_file("DejaVuSans")).read_bytes())
    whole[at : at + len(junk)] = junk
    path = tmp_path_factory.getbasetemp() / "damaged.ttf"
    path.write_bytes(whole[:cut])
    # Any other error than this one fails the test.
    with suppress(UserError):
        assert len(Atlas(str(path), 9).slots("The quick, brown fox.")) == 21
