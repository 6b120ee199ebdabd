"""Drawing: against poppler, against a slow reference, and what must hold of any page."""

import io
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pdf2image import convert_from_bytes
from reportlab.lib.colors import Color
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen import canvas

from freqq.pages import draw as draw_module
from freqq.pages.atlas import atlas, pdf_number
from freqq.pages.draw import clearness, draw, tint
from freqq.pages.page import Line, Run
from freqq.pages.style import Style, font_file
from tests import programs

FONTS = ["DejaVuSans", "DejaVuSerif", "DejaVuSansMono"]
PANGRAM = "Sphinx of black quartz, judge my vow. (0123456789) AVATAR fjords & ñandú — \u4e2d\u0301 end"
TEXTS = st.text(st.sampled_from("abcfgijlmwA.W é,\xa0\u0301\u4e2d\U0001f600"), max_size=30)
RUNS = st.lists(
    st.builds(Run, st.floats(-40, 130), st.floats(-20, 90), TEXTS, st.sampled_from([0.0, 0.0, 1.37])), max_size=6
)
COLORS = st.tuples(*[st.integers(0, 255)] * 3)
GRAYS = st.integers(0, 255).map(lambda level: (level, level, level))


def poppler(drawn, width, height, font, size, dpi, ink=(0, 0, 0), background=(255, 255, 255)):
    """Draw (x, y, text, word space) in points by reportlab and poppler, on a painted page as Glyph's are."""
    pdfmetrics.registerFont(TTFont(font, font_file(font)))
    file = io.BytesIO()
    pdf = canvas.Canvas(file, (width, height))
    pdf.setFillColor(Color(*(level / 255 for level in background)))
    pdf.rect(0, 0, width, height, stroke=0, fill=1)
    pdf.setFillColor(Color(*(level / 255 for level in ink)))
    for x, y, text, word_space in drawn:
        line = pdf.beginText(x, y)
        line.setFont(font, size)
        line.setWordSpace(word_space)
        line.textOut(text)
        pdf.drawText(line)
    pdf.save()
    programs.require("pdf")
    (image,) = convert_from_bytes(file.getvalue(), dpi=dpi)
    return np.asarray(image)


def in_pixels(drawn, height, dpi):
    """The same as runs, with the numbers that the PDF holds."""
    scale = dpi / 72
    return [
        Run(pdf_number(x) * scale, height * scale - pdf_number(y) * scale, text, pdf_number(space) * scale)
        for x, y, text, space in drawn
    ]


def same_share(ours, theirs, tolerance):
    ours = ours if ours.ndim == 3 else np.repeat(ours[..., None], 3, axis=2)
    assert ours.shape == theirs.shape
    return (np.abs(ours.astype(int) - theirs) <= tolerance).mean()


@pytest.mark.parametrize("font", FONTS)
@pytest.mark.parametrize(("size", "dpi"), [(9, 72), (7, 96), (10, 96), (7.5, 120), (11, 120), (9, 150), (14, 150)])
def test_text_looks_as_poppler_draws_it_to_the_last_bit(font, size, dpi):
    drawn = [(10 + i * 0.137, 150 - i * 15.3, PANGRAM, i % 2 * 0.613) for i in range(9)]
    theirs = poppler(drawn, 600, 170, font, size, dpi)
    ours = clearness(in_pixels(drawn, 170, dpi), *theirs.shape[1::-1], font, size, dpi)
    assert ours.ndim == 2
    assert (ours < 128).sum() > 1000
    assert same_share(ours, theirs, 0) == 1


@settings(max_examples=15)
@given(st.lists(st.tuples(st.floats(0, 90), st.floats(5, 90), TEXTS, st.floats(0, 3)), max_size=5), COLORS, COLORS)
def test_any_text_in_any_colours_looks_as_poppler_draws_it(drawn, ink, background):
    theirs = poppler(drawn, 200, 100, "DejaVuSans", 9, 72, ink, background)
    ours = tint(clearness(in_pixels(drawn, 100, 72), 200, 100, "DejaVuSans", 9), ink, background)
    # Heaped glyphs are rounded once here and after each glyph there.
    assert same_share(ours, theirs, 3) == 1


def one_by_one(runs, width, height, font, size):
    """What `clearness` computes, a glyph at a time, with more room around the page than a glyph needs."""
    glyphs, room = atlas(font, size), 2000
    page = np.full((height + 2 * room, width + 2 * room), 255, np.int64)
    for run in runs:
        pen = 0.0
        for char in run.text:
            x = pen + run.x
            bitmap = glyphs.bitmap(glyphs.number(ord(char)), min(3, int((x - np.floor(x)) * 4)))
            rows, columns = bitmap.ink.shape
            top, left = int(np.floor(run.baseline)) - bitmap.top + room, int(np.floor(x)) + bitmap.left + room
            part = page[top : top + rows, left : left + columns]
            part[:] = part * (255 - bitmap.ink) // 255
            slot = glyphs.slots(char)[0]
            pen += glyphs.thousandths[slot] * 0.001 * size + run.word_space * (char in " \xa0")
    return page[room : room + height, room : room + width]


@settings(max_examples=40)
@given(RUNS)
def test_copying_columns_is_drawing_glyph_by_glyph(runs):
    quick = clearness(runs, 120, 70, "DejaVuSans", 9).astype(int)
    slow = one_by_one(runs, 120, 70, "DejaVuSans", 9)
    # Ink that lies three deep is rounded in another order.
    assert np.abs(quick - slow).max() <= 4
    assert ((quick == 255) == (slow == 255)).all()


@given(RUNS, st.integers(0, 50), st.integers(0, 50))
def test_a_page_is_a_window(runs, left, top):
    runs = [Run(round(r.x * 4) / 4, round(r.baseline), r.text, r.word_space) for r in runs]
    moved = [Run(r.x + left, r.baseline + top, r.text, r.word_space) for r in runs]
    large = clearness(moved, 200, 160, "DejaVuSans", 9).astype(int)
    assert np.abs(large[top : top + 70, left : left + 120] - clearness(runs, 120, 70, "DejaVuSans", 9)).max() <= 4


@given(RUNS)
def test_many_batches_draw_what_one_does(runs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw_module, "STRIP_BYTES", 1)
        few = clearness(runs, 120, 70, "DejaVuSerif", 9)
    assert np.array_equal(few, clearness(runs, 120, 70, "DejaVuSerif", 9))


@given(RUNS)
def test_runs_only_take_clearness_away(runs):
    pages = [clearness(runs[:n], 120, 70, "DejaVuSans", 9) for n in range(len(runs) + 1)]
    assert (pages[0] == 255).all()
    for before, after in pairwise(pages):
        assert (after <= before).all()


@given(st.characters())
def test_no_character_is_dropped(char):
    glyphs = atlas("DejaVuSans", 9.0)
    clear = clearness([Run(20, 30, char)], 60, 50, "DejaVuSans", 9.0)
    lacking = glyphs.number(ord(char)) == 0
    assert (clear < 255).any() == glyphs.widths[glyphs.slots(char)[0]].any()
    assert not lacking or (clear < 255).any()


def test_word_space_moves_what_follows_each_space():
    spaced = clearness([Run(5, 20, "a b\xa0c", 8.0)], 80, 30, "DejaVuSans", 9)
    width = atlas("DejaVuSans", 9).width
    starts = [5, 5 + width("a ") + 8, 5 + width("a b ") + 16]
    apart = clearness([Run(x, 20, char) for x, char in zip(starts, "abc", strict=True)], 80, 30, "DejaVuSans", 9)
    assert np.array_equal(spaced, apart)


def test_marks_heaped_on_one_letter_are_looked_at_a_few_times_and_not_by_each_other():
    clear = clearness([Run(20, 40, "a" + "\u0301" * 5000)], 60, 60, "DejaVuSans", 9)
    assert (clear == 0).any()
    left = np.zeros(5000, np.int64)
    groups = list(draw_module._rounds(left, left + 3))
    assert sorted(np.concatenate(groups)) == list(range(5000))
    assert len(groups) <= 5000 + draw_module.ROUNDS


@given(st.lists(st.integers(0, 255), min_size=12, max_size=12), COLORS | GRAYS, COLORS | GRAYS)
def test_tint_goes_from_background_to_ink(levels, ink, background):
    clear = np.array([0, 255, *levels], np.uint8).reshape(2, 7)
    page = tint(clear, ink, background)
    gray = len({*ink}) == 1 and len({*background}) == 1
    assert page.shape == ((2, 7) if gray else (2, 7, 3))
    rgb = page if page.ndim == 3 else np.repeat(page[..., None], 3, axis=2)
    assert tuple(rgb[0, 0]) == ink
    assert tuple(rgb[0, 1]) == background
    exact = (clear[..., None] * np.array(background) + (255.0 - clear[..., None]) * np.array(ink)) / 255
    assert (np.floor(exact + 1e-9) == rgb).all()
    image = np.full((2, 7, 3), background, np.uint8)
    assert np.array_equal(tint(clear, ink, image), rgb)
    if gray:
        assert np.array_equal(tint(clear, ink, image[..., 0]), page)


def test_an_empty_page_is_its_background():
    assert (tint(clearness([], 30, 20, "DejaVuSans", 9), (0, 0, 0), (1, 2, 3)) == (1, 2, 3)).all()
    assert (draw((), Style(width=60, height=40)).pixels == 255).all()


def test_the_pages_that_the_embedded_model_has_learnt_do_not_change():
    style = Style(width=140, height=84, font="DejaVuSansMono", font_size=14336 / 1233, line_height=14, margin_left=7)
    rows = [
        "User: write a poem",
        "!\"#$%&'()*+,-./0:;<",
        "ABCDEFGHIJKLMNOPQRS",
        "abcdefghijklmnopqrs",
        "tuvwxyz TUVWXYZ {|}",
    ]
    page = draw(tuple(Line(7, 14 * i, row) for i, row in enumerate(rows)), style)
    assert page.sha256 == "4152162cf5d1f59cce73019ab31452839f833a334971959c1ade89ec78432d6d"
