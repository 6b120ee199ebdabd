"""How a sample becomes pages, and what is said of its fonts before."""

import json
from dataclasses import asdict, replace

import pytest

from freqq.data.load import load
from freqq.data.sample import Sample, Turn, context
from freqq.errors import UserError
from freqq.pages.glyph_pages import render_glyph
from freqq.runs.rendering import LITERAL, REAL, Rendering
from freqq.runs.settings import Settings
from freqq.runs.sources import usual_line_breaks

LITERALLY = Rendering(line_breaks=LITERAL)


def sample(*turns: tuple[str, str], **more: object) -> Sample:
    return Sample("2needle-0", 2, "", tuple(Turn(*turn) for turn in turns), "q", "", "", **more)  # type: ignore[arg-type]


CHAT = sample(("user", "one\ntwo\n\n"), ("assistant", "a\tb  c\\n"), ("", "Glyph: own\ncontext"))


def test_a_line_break_inside_a_message_is_a_backslash_and_an_n():
    assert LITERALLY.text(CHAT) == "User: one\\ntwo\\n\\n\nAssistant: a\tb  c\\n\nGlyph: own\ncontext"
    assert Rendering().text(CHAT) == context(CHAT)


def test_literal_pages_are_one_paragraph_in_which_a_tab_is_four_blanks():
    (page,) = LITERALLY.pages(CHAT)
    assert page.text == "User: one\\ntwo\\n\\n\nAssistant: a    b  c\\n\nGlyph: own\ncontext"
    many = sample(*[("user", f"line {number}") for number in range(120)])
    assert [p.sha256 for p in LITERALLY.pages(many)] == [p.sha256 for p in render_glyph(context(many), None, True)]


def test_a_chat_without_line_breaks_and_tabs_has_the_same_pages_either_way():
    short = sample(("user", "write a poem"), ("assistant", "a poem  of tapirs " * 40))
    assert [p.sha256 for p in LITERALLY.pages(short)] == [p.sha256 for p in Rendering().pages(short)]


def write_data(folder, kind):
    if kind == "mrcr":
        messages = [{"role": "user", "content": "a\nb"}, {"role": "user", "content": "q"}]
        row = {"prompt": json.dumps(messages), "answer": "x", "random_string_to_prepend": "x", "n_needles": 2}
    elif kind == "glyph":
        row = {"unique_id": "2needle-0", "context": "User: a", "question": "q", "answer": "x"}
        row["random_string_to_prepend"] = "x"
    else:
        row = {"messages": [{"role": "user", "content": "a\nb"}]}
    path = folder / f"{kind}.jsonl"
    path.write_text(json.dumps(row))
    return str(path)


@pytest.mark.parametrize(("kind", "expected"), [("mrcr", LITERAL), ("glyph", LITERAL), ("chat", REAL)])
def test_mrcr_alone_has_literal_line_breaks_unless_they_are_asked_for(tmp_path, kind, expected):
    data = load(write_data(tmp_path, kind))
    assert usual_line_breaks(data) == expected
    assert usual_line_breaks(data.with_task("transcribe")) == REAL
    assert usual_line_breaks(load("mini")) == REAL


def test_literal_line_breaks_are_a_look_of_their_own_and_real_ones_what_there_was():
    assert "line_breaks" not in Rendering().identity()
    assert LITERALLY.identity() == Rendering().identity() | {"line_breaks": LITERAL}


def test_settings_without_a_choice_are_written_as_they_were(tmp_path):
    data = write_data(tmp_path, "mrcr")
    usual, literal = Settings(data=data), Settings(data=data, line_breaks=LITERAL)
    assert "line_breaks" not in usual.as_json()
    assert literal.as_json() == usual.as_json() | {"line_breaks": LITERAL}
    assert literal.directory() != usual.directory()
    assert set(asdict(usual)) - set(usual.as_json()) == {"line_breaks", "look"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"line_breaks": "litteral"}, "did you mean 'literal'"),
        ({"line_breaks": LITERAL, "task": "transcribe"}, "real line breaks"),
        ({"line_breaks": LITERAL, "data": "mini"}, "real line breaks"),
        ({"font": "DejaVuSans#3"}, "has 1 font"),
    ],
)
def test_what_cannot_be_is_one_clear_line(tmp_path, change, says):
    known = {"data": write_data(tmp_path, "mrcr")} | change
    if known.get("task") == "transcribe":
        known["needles"] = (2,)
    with pytest.raises(UserError) as error:
        Settings(**known)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_what_a_font_lacks_is_said_once_with_its_number():
    chats = [sample(("user", "中文 tapir")), sample(("user", "文字")), sample(("user", "tapir"))]
    (remark,) = Rendering().remarks(chats)
    assert "lacks 3 characters (中字文), which 2 of 3 chats have" in remark
    assert list(Rendering().remarks([chats[2], replace(chats[0], style={"width": 300})])) == []


def test_samples_have_their_own_configurations_each_once():
    chats = [sample(("user", "a"), config=config) for config in (None, {"dpi": 96}, {"dpi": 96}, {"dpi": "x"})]
    assert [config.dpi for config in Rendering().configs(chats)] == [72, 96]
