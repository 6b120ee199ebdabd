"""Wrapping, layout and drawing."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from freqq.pages.atlas import atlas
from freqq.pages.draw import draw
from freqq.pages.render import layout, render, wrap
from freqq.pages.style import Style

TEXTS = st.text(st.sampled_from("abcij mWw.-é\n"), max_size=120)
WORDS = ["User: write a poem about tapirs", "Assistant: old river stone, quick wagon.", "x" * 300, "", "two\nlines"]


@given(TEXTS, st.floats(20, 200))
def test_wrapping_loses_no_text_and_fits(text, width):
    glyphs = atlas("DejaVuSans", 9.0, hinted=True)
    lines = wrap(text, width, glyphs)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(glyphs.width(line) <= width + 1e-6 for line in lines)


@given(TEXTS)
def test_a_text_that_fits_is_left_alone(text):
    glyphs = atlas("DejaVuSans", 9.0, hinted=True)
    paragraphs = text.split("\n")
    assert [" ".join(line.split()) for line in wrap(text, 1e6, glyphs)] == [" ".join(p.split()) for p in paragraphs]


@given(st.lists(TEXTS, max_size=6), st.integers(60, 300), st.integers(40, 200))
def test_every_line_stands_inside_the_margins_and_none_is_lost(texts, width, height):
    style = Style(width=width, height=height, margin_left=7, margin_right=5, margin_top=6, margin_bottom=4)
    glyphs = atlas(style.font, style.font_size, hinted=True)
    pages = list(layout(texts, style))
    inner = width - 12
    assert [line.text for page in pages for line in page] == [text for t in texts for text in wrap(t, inner, glyphs)]
    for page in pages:
        tops = [line.top for line in page]
        assert page
        assert tops[0] >= style.margin_top
        assert tops[-1] + style.line_height <= height - style.margin_bottom
        assert all(b - a >= style.line_height for a, b in pairwise(tops))


def test_the_same_text_gives_the_same_pixels():
    style = Style(width=300, height=100)
    first, second = list(render(WORDS, style)), list(render(WORDS, style))
    assert [p.sha256 for p in first] == [p.sha256 for p in second]
    assert [p.sha256 for p in render(WORDS[:2], style)] != [p.sha256 for p in render(WORDS[1:3], style)]


def test_a_page_is_black_on_white_within_its_margins():
    style = Style(width=300, height=100, margin_left=20, margin_right=30, margin_top=15)
    for page in render(WORDS, style):
        assert page.pixels.dtype == np.uint8
        assert page.pixels.shape == (100, 300)
        ink = page.pixels < 255
        assert page.pixels.min() < 80
        assert not ink[:, : style.margin_left - 2].any()
        assert not ink[:, 300 - style.margin_right + 2 :].any()
        assert not ink[: style.margin_top - 2].any()


def test_a_blank_page_is_white():
    assert (draw((), Style(width=60, height=40)).pixels == 255).all()


def test_no_message_gives_no_page():
    assert list(render([], Style())) == []


def test_only_the_last_page_is_cropped():
    style = Style(width=120, height=112, crop_to=28)
    pages = list(render(["word " * 60], style))
    assert len(pages) > 1
    assert all(p.pixels.shape[0] == 112 for p in pages[:-1])
    last = pages[-1]
    assert last.pixels.shape[0] % 28 == 0
    assert last.lines[-1].top + style.line_height <= last.pixels.shape[0]
    whole = list(render(["word " * 60], replace(style, crop_to=0)))[-1]
    assert (whole.pixels[: last.pixels.shape[0]] == last.pixels).all()
    assert (whole.pixels[last.pixels.shape[0] :] == 255).all()
