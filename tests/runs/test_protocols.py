"""Glyph's protocol by suite: each has scripts of its own."""

import pytest

from freqq.data.sample import Sample
from freqq.runs.grading import marked
from freqq.runs.protocols import GLYPH_PROTOCOL, OFFICIAL, PROTOCOLS, protocol_for
from freqq.runs.settings import Settings
from tests.runs.test_schema import make_row

RULER = Sample("s", answer="1234567", references=("1234567",), subtask="niah_single_1")
LONGBENCH = Sample("s", answer="Ada Lovelace", references=("Ada Lovelace",), subtask="qasper")
TRANSCRIBE = Sample("s", answer="User: hello")


def score(sample: Sample, task: str, response: str, protocol: str = "glyph") -> float:
    return marked(make_row(task=task), sample, response, protocol_for(protocol, task)).score


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("<think>Page 3.</think>\nAda Lovelace<|user|>", 1.0),
        ("<think>Page 3.</think>\n<|begin_of_box|>Ada\nLovelace<|end_of_box|><|user|>", 1.0),
        ("<think>Ada Lovelace", 0.5),
        ("Ada Lovelace", 1.0),
    ],
)
def test_longbench_is_graded_without_marks(said, right):
    assert score(LONGBENCH, "longbench", said) == pytest.approx(right)


def test_ruler_is_graded_with_the_thoughts():
    said = "<think>It is 1234567.</think>\nI forgot.<|user|>"
    assert score(RULER, "ruler", said) == 1.0
    assert score(RULER, "ruler", said, "official") == 0.0


def test_the_end_of_a_transcript_is_no_word():
    row = marked(make_row(task="transcribe"), TRANSCRIBE, "User: hello<|user|>", protocol_for("glyph", "transcribe"))
    assert (row.score, row.exact) == (1.0, True)


def test_only_mrcr_has_a_line_break_before_the_question():
    asked = {task: protocol_for("glyph", task).ask("q") for task in ("mrcr", "ruler", "longbench")}
    assert asked == {"mrcr": "\nq", "ruler": "q", "longbench": "q"}
    assert protocol_for("glyph", "mrcr") is GLYPH_PROTOCOL


@pytest.mark.parametrize("task", ["mrcr", "ruler", "longbench", "transcribe"])
def test_a_protocol_keeps_its_name_and_the_official_one_is_the_same_for_all(task):
    assert {name: protocol_for(name, task).name for name in PROTOCOLS} == {name: name for name in PROTOCOLS}
    assert protocol_for("official", task) is OFFICIAL


def test_settings_have_the_protocol_of_their_task():
    assert Settings(data="ruler-mini", needles=(0,), protocol="glyph").rules is protocol_for("glyph", "ruler")
    assert Settings(protocol="glyph").rules is GLYPH_PROTOCOL
