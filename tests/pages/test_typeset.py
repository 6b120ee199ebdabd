"""Lines and pages break, and every pen stands, where reportlab puts them."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freqq.errors import UserError
from freqq.pages.fonts import Widths, widths
from freqq.pages.glyph import ALIGNMENTS, GlyphConfig
from freqq.pages.pagination import flow
from tests.pages.glyph_way import pens, set_pdf

RED_MARK = '<font color="#FF0000"> \\n </font>'
SMALL = GlyphConfig(page_size=(150, 120))

# What decides where lines break: blanks of all kinds, references, no-break spaces, long words, words of many sizes.
PIECES = [
    "a",
    "I",
    "the",
    "tapir",
    "Assistant:",
    '"said"',
    "q&a",
    "<br/>",
    "&amp;",
    "-",
    "é",
    "ﬁ",
    "日本",
    "\x07",
    "\t",
]
PIECES += ["\t", "  ", "     ", "\xa0", "\u3000", "\u2028", "\r", "\xad", "\u200b", "internationalization"]
TEXTS = st.lists(st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join), max_size=40).map("\n".join)
CONFIGS = st.builds(
    GlyphConfig,
    page_size=st.tuples(st.sampled_from([150.0, 233.3]), st.sampled_from([90.0, 150.5, 300.0])),
    font_size=st.sampled_from([7.0, 9.0, 10.5]),
    alignment=st.sampled_from(ALIGNMENTS),
    newline_markup=st.sampled_from(["<br/>", RED_MARK, '<font color="red">|</font>', " / ", "<br/> <br/>&nbsp;"]),
    first_line_indent=st.sampled_from([0.0, 8.0, -5.0]),
    left_indent=st.sampled_from([0.0, 6.0]),
    right_indent=st.sampled_from([0.0, 3.0]),
    space_before=st.sampled_from([0.0, 4.0]),
    space_after=st.sampled_from([0.0, 7.5]),
)


def our_pens(text: str, config: GlyphConfig, one_paragraph: bool = False) -> list[list[tuple[str, float, float]]]:
    measure = widths(config.font_path, config.font_size)
    pages = []
    for blocks in flow(text, config, one_paragraph):
        page = []
        for block in blocks:
            for number, line in enumerate(block.lines):
                x = config.text_left + config.left_indent + line.x
                baseline = config.page_size[1] - block.top + config.font_size + number * config.leading
                for char in "".join(text for _, text in line.parts):
                    blank = char in " \xa0"
                    if not blank:
                        page.append(("\0" if measure.lacking(char) else char, x, baseline))
                    x += measure[char] + (line.word_space if blank else 0)
        pages.append(page)
    return pages


def assert_same_pens(text: str, config: GlyphConfig, one_paragraph: bool = False) -> None:
    ours, reference = our_pens(text, config, one_paragraph), pens(set_pdf(text, config, one_paragraph))
    assert [len(page) for page in ours] == [len(page) for page in reference]
    for page, expected in zip(ours, reference, strict=True):
        assert [char for char, _, _ in page] == [char for char, _, _ in expected]
        places, wanted = (np.array([place for _, *place in some]).reshape(-1, 2) for some in (page, expected))
        # A PDF has four decimals.
        assert np.abs(places - wanted).max(initial=0) < 0.01


@settings(max_examples=120)
@given(TEXTS, CONFIGS, st.booleans())
def test_every_glyph_stands_where_reportlab_puts_it(text, config, one_paragraph):
    assert_same_pens(text, config, one_paragraph)


@pytest.mark.parametrize("markup", ["<br/>", RED_MARK])
@pytest.mark.parametrize("lines", [1, 29, 30, 31, 60, 61])
def test_paragraphs_of_thirty_lines_break_like_reportlabs(lines, markup):
    config = replace(SMALL, newline_markup=markup)
    assert_same_pens("\n".join(f"line {number} of the tapir's song" for number in range(lines)), config)


@pytest.mark.parametrize("text", ["", "\n", "\n" * 31, "a\n" * 40, " ", "  \n", "\xad", "\u200b\n\u200b", "\n\nx"])
@pytest.mark.parametrize("height", [90, 120, 842])
def test_empty_lines_take_the_room_that_reportlab_gives_them(text, height):
    assert_same_pens(text, GlyphConfig(page_size=(200, height)))


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("text", ["m" * 1500, "日本語" * 300, "ab " + "W" * 300 + " cd"])
def test_words_longer_than_a_line_are_cut_like_reportlabs(text, alignment):
    assert_same_pens(text, replace(SMALL, alignment=alignment))
    assert_same_pens(text + "\n" + text, replace(SMALL, alignment=alignment))


@given(st.text(max_size=300), st.sampled_from(["<br/>", RED_MARK]))
def test_any_text_is_placed_and_nothing_is_lost(text, markup):
    placed = "".join(
        part
        for blocks in flow(text, replace(SMALL, newline_markup=markup))
        for block in blocks
        for line in block.lines
        for color, part in line.parts
        if color is None
    )
    expected = text.replace("\xad", "").replace("\u200b", "")
    assert "".join(placed.split()) == "".join(expected.split())


def test_a_page_is_placed_before_the_next_is_looked_at():
    """Ten million characters in one word; only the first lines of it are broken."""
    pages = list(islice(flow("x" * 10_000_000, GlyphConfig()), 2))
    assert [sum(len(block.lines) for block in blocks) for blocks in pages] == [81, 81]


def test_a_page_without_room_for_two_lines_is_refused_when_it_matters():
    config = GlyphConfig(page_size=(200, 45))
    assert len(list(flow("one line", config))) == 1
    with pytest.raises(UserError, match="two lines"):
        list(flow("two\nlines", config))


def test_fonts_that_cannot_serve_are_refused(tmp_path):
    junk = tmp_path / "junk.ttf"
    junk.write_bytes(b"no font")
    with pytest.raises(UserError, match=r"junk\.ttf"):
        Widths(str(junk), 9)
    with pytest.raises(UserError, match="no Latin letters"):
        Widths("STIXSizOneSymReg", 9)
