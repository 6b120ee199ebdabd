"""Pages look like those of Glyph's pipeline, pixel by pixel; the reference is the real reportlab and poppler."""

import random
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.pages.glyph import GlyphConfig
from freqq.pages.glyph_pages import render_glyph
from tests.pages.glyph_way import draw_pdf, set_pdf

RED_MARK = '<font color="#FF0000"> \\n </font>'
WORDS = (
    "User: Assistant: the a of tapir poem about river, stone. quickly jumping photographs I you would Wagon"
    ' "quoted" q&a x<y (1972) fjord gypsy jigsaw naïve 50% don\'t e-mail  '
).split(" ")


def chat(lines: int, seed: int = 0) -> str:
    rng = random.Random(seed)
    return "\n".join(" ".join(rng.choices(WORDS, k=rng.choice([0, 4, 20, 60]))) for _ in range(lines))


def same_pixels(text: str, config: GlyphConfig, one_paragraph: bool = False) -> tuple[int, float]:
    """Number of pages, and the least fraction of a page's pixels that are within 8 of the reference's."""
    ours = list(render_glyph(text, config, one_paragraph))
    reference = list(draw_pdf(set_pdf(text, config, one_paragraph), config))
    assert len(ours) == len(reference)
    least = 1.0
    for page, expected in zip(ours, reference, strict=True):
        pixels = page.pixels if page.pixels.ndim == 3 else page.pixels[..., None].repeat(3, 2)
        assert pixels.shape == expected.shape
        near = np.abs(pixels.astype(np.int16) - expected).max(2) <= 8
        least = min(least, float(near.mean()))
    return len(ours), least


@pytest.mark.slow
@pytest.mark.parametrize("one_paragraph", [False, True])
def test_fifty_pages_of_glyphs_evaluation_look_the_same(one_paragraph):
    count, least = same_pixels(chat(1500), GlyphConfig(), one_paragraph)
    assert count >= 25
    assert least >= 0.999


@pytest.mark.parametrize(
    "change",
    [
        {"dpi": 96},
        {"dpi": 120},
        {"dpi": 150, "font_path": "DejaVuSansMono", "font_size": 8},
        {"font_path": "DejaVuSerif", "font_size": 11.5, "alignment": "JUSTIFY"},
        {"alignment": "CENTER"},
        {"alignment": "RIGHT", "first_line_indent": 9, "right_indent": 4},
        {"newline_markup": RED_MARK},
        {"horizontal_scale": 0.8},
        {"horizontal_scale": 1.3, "dpi": 96},
        {"auto_crop_width": False, "auto_crop_last_page": False, "space_before": 3, "space_after": 5},
        {"page_size": (595.2756, 841.8898), "margin_x": 12.5, "margin_y": 20.25, "dpi": 110, "left_indent": 5},
        {"font_color": (200, 200, 200), "page_bg_color": (0, 0, 0), "para_bg_color": (0, 0, 0), "dpi": 100},
        {
            "page_bg_color": (240, 250, 240),
            "para_bg_color": (255, 255, 200),
            "font_color": (10, 20, 90),
            "para_border_color": (200, 0, 0),
            "border_width": 1,
            "border_padding": 2,
            "dpi": 100,
        },
        {"para_bg_color": None},
        {"para_bg_color": None, "para_border_color": (0, 0, 0), "border_width": 2.5, "space_after": 8},
    ],
    ids=lambda change: "-".join(change),
)
def test_pages_of_other_configurations_look_the_same(change):
    config = replace(GlyphConfig(page_size=(400, 500)), **change)
    count, least = same_pixels(chat(70, seed=1), config)
    assert count >= 2
    assert least >= 0.999


def test_odd_text_looks_the_same():
    odd = (
        "日本語のテキスト 𝔘𝔫𝔦 ﷽ שלום e\u0301\u0323 \x01\x7f \t tab  two   three\n"
        + "W" * 400
        + "\n\n<b>&amp;</b> \x85 x"
    )
    assert same_pixels(odd, GlyphConfig(page_size=(300, 200)))[1] >= 0.999


@given(st.text(st.characters(), max_size=200))
def test_any_text_renders(text):
    """Lone surrogates included; every page says what it shows."""
    config = GlyphConfig(page_size=(120, 90))
    pages = list(render_glyph(text, config))
    shown = "".join(page.text for page in pages)
    expected = text.replace("\xad", "").replace("\u200b", "")
    assert len("".join(shown.split())) == len("".join(expected.split()))
    for page in pages:
        assert page.pixels.dtype == np.uint8
        assert page.pixels.ndim == 2


def test_what_the_font_lacks_is_drawn_and_named():
    (page,) = render_glyph("a\u4e2d\ud800b")
    assert page.text == "a\ufffd\ufffdb"
    assert (page.pixels[:, 22:30] < 128).any()


def test_the_page_knows_its_lines():
    (page,) = render_glyph("first  line\n\nthird \n", GlyphConfig(dpi=144, horizontal_scale=0.5))
    assert page.text == "first  line\n\nthird"
    assert [(line.x, line.top) for line in page.lines] == [(16, 32), (16, 52), (16, 72)]


def test_the_same_text_gives_the_same_pixels():
    first, second = (list(render_glyph(chat(120))) for _ in range(2))
    assert [page.sha256 for page in first] == [page.sha256 for page in second]


def test_a_page_is_black_on_white_and_cropped_to_its_text():
    pages = list(render_glyph(chat(200)))
    assert len(pages) > 2
    for page in pages:
        assert page.pixels.shape[1] < 595
        assert (page.pixels[:, -10:] == 255).all()
        assert (page.pixels[:, -11] < 250).any()
    assert all(page.pixels.shape[0] == 842 for page in pages[:-1])
    assert pages[-1].pixels.shape[0] < 842


def test_a_long_chat_needs_the_memory_of_a_page():
    text = chat(12_000)
    config = GlyphConfig(page_size=(595, 842))
    next(render_glyph(text[:10_000], config))
    tracemalloc.start()
    try:
        for count, page in enumerate(render_glyph(text, config), 1):
            assert page.lines
            if count == 100:
                break
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 100
    assert peak < 40 * 595 * 842
