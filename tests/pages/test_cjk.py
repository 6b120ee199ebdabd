"""Text with Chinese characters breaks and looks as reportlab and poppler have it with ``wordWrap="CJK"``."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freqq.pages.cjk import break_text, is_cjk
from freqq.pages.fonts import widths
from freqq.pages.glyph import ALIGNMENTS, GlyphConfig
from freqq.pages.glyph_pages import render_glyph
from freqq.pages.pagination import flow
from tests.pages.test_glyph_pages import same_pixels
from tests.pages.test_typeset import CONFIGS, RED_MARK, SMALL, assert_same_pens

MICRO_HEI = "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"
FONTS = [
    pytest.param(font, marks=pytest.mark.needs("fonts"))
    for font in (
        MICRO_HEI,
        f"{MICRO_HEI}#1",
        "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    )
]
HAN = "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多天"
MARKS = "，。！？、；：（）《》「」“”"

# What decides where lines break: characters that cannot start a line, blanks, words as long as a line, references.
PIECES = [
    "a",
    "I",
    "tapir",
    "中文",
    "，",
    "。",
    "（",
    "日本語の",
    "」",
    "Assistant:",
    '"said"',
    "q&a",
    "<br/>",
    "&amp;",
    "-",
]
PIECES += ["é", "\x07", "\t", "  ", "     ", "\xa0", "\u3000", "internationalization", "中" * 30, "文。" * 9, "W" * 40]
PIECES += ["\u0301", "?" * 5]
TEXTS = st.lists(
    st.tuples(st.lists(st.sampled_from(PIECES), max_size=14), st.sampled_from(["", " "])).map(
        lambda x: x[1].join(x[0])
    ),
    max_size=40,
).map("\n".join)


def chinese(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(HAN if rng.random() < 0.9 else MARKS) for _ in range(count))


def english(rng: random.Random, count: int) -> str:
    return " ".join("".join(rng.choices("etaoinshrdlu", k=rng.randint(1, 9))) for _ in range(count))


def some_text(kind: str, lines: int, seed: int = 0) -> str:
    rng = random.Random(f"{kind}/{seed}")
    if kind == "Chinese":
        return "\n".join(chinese(rng, rng.choice([0, 8, 120, 400])) for _ in range(lines))
    if kind == "mixed":
        return "\n".join(
            "".join(
                rng.choice((chinese, english))(rng, rng.randint(1, 9)) + rng.choice(["", " ", "  "])
                for _ in range(rng.choice([2, 20, 60]))
            )
            for _ in range(lines)
        )
    return "\n".join(english(rng, rng.choice([0, 20, 150])) for _ in range(lines)) + "\n四個漢字"


@settings(max_examples=150)
@given(TEXTS, CONFIGS, st.booleans())
def test_every_glyph_stands_where_reportlab_puts_it(text, config, one_paragraph):
    assert_same_pens(text + "中", config, one_paragraph)


@pytest.mark.parametrize("one_paragraph", [False, True])
@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize(
    "text",
    [
        "中" * 2000,
        "中文字 " * 500,
        "中" * 33 + "。" + "\n",
        "ab中" * 400,
        "中\n" * 90,
        "中" + "\n" * 70,
        "字。" * 700 + "\n\n",
    ],
)
def test_paragraphs_over_several_pages_break_like_reportlabs(text, alignment, one_paragraph):
    for markup in ("<br/>", RED_MARK):
        assert_same_pens(text, replace(SMALL, alignment=alignment, newline_markup=markup), one_paragraph)


def test_a_line_break_that_is_left_over_alone_needs_no_page():
    for count in range(4, 18):
        assert_same_pens("中" + "\n" * count, GlyphConfig(page_size=(150.0, 90.0)))


@pytest.mark.parametrize("font", FONTS)
@pytest.mark.parametrize("kind", ["Chinese", "mixed", "few"])
def test_pages_look_the_same(kind, font):
    count, least = same_pixels(some_text(kind, 40), GlyphConfig(font_path=font), one_paragraph=True)
    assert count >= 2
    assert least >= 0.999


@pytest.mark.slow
@pytest.mark.parametrize("font", FONTS[:1])
def test_thirty_pages_look_the_same(font):
    config, pages = GlyphConfig(font_path=font), 0
    for kind, lines, one_paragraph in (("Chinese", 340, True), ("mixed", 250, False), ("few", 270, True)):
        count, least = same_pixels(some_text(kind, lines, seed=1), config, one_paragraph)
        assert count >= 10
        assert least >= 0.999
        pages += count
    assert pages >= 30


@given(st.text(st.sampled_from("中文，。a b!\xa0'"), max_size=200), st.floats(20, 120))
def test_every_character_is_on_one_line_and_lines_fit(text, room):
    measure = widths("DejaVuSans", 9.0)
    lines = list(break_text(text, measure, room, room))
    assert [line.start for line in lines] == [0, *(line.end for line in lines[:-1])]
    assert lines[-1].end == len(text)
    for line in lines:
        assert sum(measure[char] for char in text[line.start : line.end]) == pytest.approx(room - line.extra)
        # One character that cannot start a line may hang over.
        assert sum(measure[char] for char in text[line.start : line.end - 1]) <= room + 1e-5


@given(st.text(max_size=300), st.booleans())
def test_no_character_is_lost(text, one_paragraph):
    text += "中"
    placed = "".join(
        part
        for blocks in flow(text, SMALL, one_paragraph)
        for block in blocks
        for line in block.lines
        for _, part in line.parts
    )
    expected = text.replace("\xad", "").replace("\u200b", "")
    assert "".join(placed.split()) == "".join(expected.split())


def test_one_character_of_a_text_decides_for_all_of_its_pages():
    text = english(random.Random(0), 3000)
    plain, cjk = list(render_glyph(text)), list(render_glyph(text + "\n中"))
    assert not is_cjk(text)
    assert is_cjk(text + "\n中")
    assert [page.text for page in plain[:1]] != [page.text for page in cjk[:1]]
    for char in "あア한，":
        assert not is_cjk(char)
