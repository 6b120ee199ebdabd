"""The codec that stores a page's text."""

import json
from dataclasses import replace

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from freqq.coding.stream import CorruptStream, StreamWriter
from freqq.data.mini import mini
from freqq.errors import UserError
from freqq.image import text as text_codec
from freqq.image.batch import Content, Source
from freqq.image.container import HEADER, MAGIC, TEXT, VERSION
from freqq.image.streams import decode, describe
from freqq.image.text import CHECKSUM, MAX_BYTES, Text
from freqq.pages.glyph import GlyphConfig
from freqq.pages.glyph_pages import render_glyph
from freqq.pages.page import Line, Page, png_bytes
from freqq.pages.redraw import paragraph_starts, parse_style, style_json
from freqq.pages.render import render
from freqq.pages.style import Style
from freqq.runs.rendering import Rendering

WORDS = "Pack my box with five dozen liquor jugs; quickly, jumping zebras vex (gy) the 14 pigs. ".split()


def chat(seed, words, newlines):
    rng = np.random.default_rng(seed)
    return "".join(rng.choice(WORDS) + ("\n" if rng.random() < newlines else " ") for _ in range(words))


@settings(max_examples=15)
@given(
    seed=st.integers(0, 99),
    newlines=st.sampled_from([0, 0.01, 0.3]),
    config=st.sampled_from(
        [
            GlyphConfig(),
            GlyphConfig(dpi=96, page_size=(400.0, 300.0)),
            GlyphConfig(font_path="DejaVuSansMono", alignment="LEFT", font_color=(0, 0, 200)),
            GlyphConfig(page_bg_color=(240, 240, 240), para_bg_color=(240, 240, 240)),
        ]
    ),
)
def test_pages_of_glyphs_come_back_to_the_last_bit(seed, newlines, config):
    for page in render_glyph(chat(seed, 1500, newlines), config):
        stream = Text().encode(page)
        decoded = decode(stream)
        np.testing.assert_array_equal(decoded.pixels, page.pixels)
        assert decoded.text == page.text
        assert len(stream) < len(page.text) + 100


def test_pages_of_the_built_in_data_come_back_to_the_last_bit():
    pages = [page for sample in mini(2, 12, 0) for page in Rendering().pages(sample)]
    assert any(paragraph_starts(page) for page in pages)  # with gaps between paragraphs, too
    for page in pages:
        np.testing.assert_array_equal(decode(Text().encode(page)).pixels, page.pixels)


def as_read_from(folder, page):
    """A page as a command reads it: its pixels from a file, its text and style from the table beside it."""
    path = folder / "page.png"
    path.write_bytes(png_bytes(page))
    return Source(path, "page", Content(page.text, style_json(page.style))).page()


def test_pages_of_the_built_in_data_that_are_read_from_files_come_back_to_the_last_bit(tmp_path):
    shapes = set()
    for sample in [sample for needles in (2, 4, 8) for sample in mini(needles, 30, 0)]:
        for page in Rendering().pages(sample):
            shapes.add((*page.pixels.shape, page.style.paragraph_gap))
            np.testing.assert_array_equal(decode(Text().encode(as_read_from(tmp_path, page))).pixels, page.pixels)
    assert len(shapes) > 20
    assert {gap for *_, gap in shapes} == {0, 14, 28}


@settings(max_examples=60)
@given(
    messages=st.lists(
        st.lists(st.sampled_from(["", "", " ", "a", "U: by\u0301 gum", "- . -"]), min_size=1, max_size=4).map(
            "\n".join
        ),
        min_size=1,
        max_size=7,
    ),
    style=st.sampled_from(
        [
            Style(paragraph_gap=7),
            Style(width=168, height=112, margin_top=7, line_height=28, paragraph_gap=28, font="DejaVuSansMono"),
            Style(width=168, height=140, margin_top=21, line_height=28, paragraph_gap=14, margin_bottom=0, crop_to=28),
            Style(width=90, line_height=9, paragraph_gap=1, font_size=12.0),
        ]
    ),
)
def test_blank_lines_and_messages_anywhere_keep_their_place(tmp_path_factory, messages, style):
    for page in render(messages, style):
        decoded = decode(Text().encode(as_read_from(tmp_path_factory.getbasetemp(), page)))
        np.testing.assert_array_equal(decoded.pixels, page.pixels)
        assert decoded.text == page.text


@settings(max_examples=40)
@given(
    lines=st.lists(
        st.sampled_from(["", "", "a", "(gy) jumping zebras", "Pack  my box " * 9]), min_size=1, max_size=150
    ),
    config=st.sampled_from([GlyphConfig(), GlyphConfig(page_size=(200.0, 150.0), font_path="DejaVuSansMono")]),
)
def test_blank_lines_of_glyphs_pages_keep_their_place(tmp_path_factory, lines, config):
    for page in render_glyph("\n".join(lines), config):
        decoded = decode(Text().encode(as_read_from(tmp_path_factory.getbasetemp(), page)))
        np.testing.assert_array_equal(decoded.pixels, page.pixels)


def test_other_pages_keep_their_text_and_size():
    config = GlyphConfig(alignment="JUSTIFY", space_after=3.0, horizontal_scale=0.9)
    for page in render_glyph(chat(0, 900, 0.05), config):
        decoded = decode(Text().encode(page))
        assert decoded.pixels.shape == page.pixels.shape
        assert decoded.text == page.text


@pytest.mark.parametrize("shape", [(1, 1), (40, 30), (900, 700), (40, 30, 3)])
def test_a_page_of_any_size_whose_text_is_given_keeps_its_size(shape):
    page = Page(np.full(shape, 255, np.uint8), (Line(0, 0, "some words"),))
    assert decode(Text().encode(page)).pixels.shape == shape


@pytest.mark.parametrize(
    "style",
    [
        GlyphConfig(),
        GlyphConfig(dpi=100, page_size=(300.0, 200.0), para_bg_color=None, font_color=(1, 2, 3), auto_crop_width=False),
        Style(),
        Style(width=300, font="DejaVuSansMono", paragraph_gap=7, user_label=""),
    ],
)
def test_a_style_survives_as_json(style):
    assert parse_style(style_json(style)) == style


HUGE = "1" + "0" * 400
"""A whole number in JSON has no bound, and this one is no float."""


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", "{}", '{"px": 3}', '{"px": {"wdith": 1}}', '{"pt": {}}', "7", '{"a":1,"b":2}',
        f'{{"px": {{"margin_left": {HUGE}, "margin_right": 0.5}}}}', f'{{"glyph": {{"margin-x": {HUGE}}}}}',
        '{"glyph": {"page-size": "1e999,5"}}',
    ],
)  # fmt: skip
def test_what_is_no_style_is_refused(text):
    with pytest.raises(UserError):
        parse_style(text)


def test_a_page_without_text_is_refused():
    with pytest.raises(UserError, match="needs the text of a page"):
        Text().encode(Page(np.zeros((9, 9), np.uint8)))


@pytest.mark.parametrize(
    ("text", "style", "message"),
    [
        ("a" * (MAX_BYTES + 1), None, "bytes"),
        ("a", Style(font="/tmp/some.ttf"), "not one that comes with freqq"),
        ("a", GlyphConfig(font_size=300.0, page_size=(2000.0, 2000.0)), "px"),
        ("".join(map(chr, range(0x4E00, 0x4E00 + 3000))), None, "characters of its own"),
        ("a", GlyphConfig(page_size=(8000.0, 8000.0)), "too large"),
    ],
)
def test_what_could_not_be_decoded_safely_is_not_encoded(text, style, message):
    page = Page(np.full((20, 20), 255, np.uint8), (Line(0, 0, text),), style)
    with pytest.raises(UserError, match=message):
        Text().encode(page)


@pytest.mark.parametrize("font", [5, None, ["DejaVuSans"]])
def test_a_font_that_is_no_name_is_a_corrupt_stream(font):
    file = StreamWriter(MAGIC, VERSION)
    file.header(HEADER, TEXT, 1, 60, 60)
    file.header(CHECKSUM, 0)
    content = json.dumps({"px": {"font": font}}) + "\n\nhello"
    file.array(np.frombuffer(zstandard.ZstdCompressor().compress(content.encode()), np.uint8))
    stream = file.finish()
    for read in (decode, describe):
        with pytest.raises(CorruptStream):
            read(stream)


def test_another_font_is_noticed(monkeypatch):
    page = next(render_glyph("some words"))
    stream = Text().encode(page)
    mono = text_codec.redraw
    monkeypatch.setattr(text_codec, "redraw", lambda t, s, n: mono(t, replace(s, font_path="DejaVuSansMono"), n))
    with pytest.raises(CorruptStream, match="differs from the stored one"):
        decode(stream)


def test_a_stream_tells_its_text():
    found = describe(Text().encode(next(render_glyph("some\nwords"))))
    assert (found["lines"], found["characters"], found["coding"]) == (2, 10, "text")
