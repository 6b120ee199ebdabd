"""Responses as released models write them, taken apart and graded."""

import random
import re
import string
import sys
from collections.abc import Callable
from difflib import SequenceMatcher

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freqq.data.responses import (
    ANSWERED,
    CUT_ANSWERING,
    CUT_THINKING,
    EMPTY,
    ENDS,
    FRAMES,
    ONLY_THOUGHT,
    OUTCOMES,
    after_thoughts,
    take_apart,
    without_marks,
)
from freqq.data.tasks.mrcr import glyph_grade, grade

PREFIX = "aYooSG8CQg"
ANSWER = PREFIX + "Tapirs in moonlight,\nsoft as moss,\n\nwade the river."
"""As in MRCR: a random string, then a message of several lines."""

RIGHT = [
    # Glyph and GLM-4.1V-9B-Thinking
    f"<think>The user wants the second poem.</think>\n{ANSWER}",
    f"<think>The user wants the second poem.</think>{ANSWER}",
    f"<think>\nGot it, let's look.\n</think>\n\n{ANSWER}\n",
    f"<think>It begins with {PREFIX}.</think><answer>{ANSWER}</answer>",
    f"<think>It begins with {PREFIX}.</think>\n<answer>\n{ANSWER}\n</answer>",
    f"<think>Second poem.</think><answer>{ANSWER}",  # it ended before the mark
    f"<think>Second poem.</think><answer>{ANSWER}</answer><|user|>",
    f"<think>Second poem.</think>\n{ANSWER}<|user|>",
    f"<think>Second poem.</think>\n{ANSWER}\n<|user|>\n",
    f"<think>Second poem.</think>\n{ANSWER}<|endoftext|>",
    f"<think>Second poem.</think>\n{ANSWER}<|observation|><|endoftext|>",
    f"<think>{PREFIX} goes first, then the poem</think><answer><|begin_of_box|>{ANSWER}<|end_of_box|></answer>",
    f"<|assistant|>\n<think>Second poem.</think>\n{ANSWER}<|user|>",
    # GLM-4.5V, GLM-4.6V and GLM-4.6V-Flash
    f"<think>Page 3 has it.</think>\n<|begin_of_box|>{ANSWER}<|end_of_box|>",
    f"<think>Page 3 has it.</think>\n<|begin_of_box|>{ANSWER}<|end_of_box|><|user|>",
    f"<think>Page 3 has it.</think>\n\n<|begin_of_box|>\n{ANSWER}\n<|end_of_box|>\n",
    f"<think>Page 3 has it.</think>The poem is: <|begin_of_box|>{ANSWER}<|end_of_box|>.",
    f"<think>Page 3 has it.</think>\n{ANSWER}",
    f"<think>Page 3 has it.</think>\n<|begin_of_box|>{ANSWER}",
    f"<think>Page 3 has it.</think>\n{ANSWER}<|end_of_box|>",  # one mark is special to the tokenizer and left out
    f"<think></think>\n{ANSWER}",  # thinking turned off
    f"<think>\n</think>\n<|begin_of_box|>{ANSWER}<|end_of_box|>",
    # a server with a reasoning parser: the content alone, or behind its reasoning_content
    ANSWER,
    f"<|begin_of_box|>{ANSWER}<|end_of_box|>",
    f"<answer>{ANSWER}</answer>",
    f"{ANSWER}<|user|>",
    # a chat template that begins the thoughts in the prompt
    f"The user wants the second poem.</think>\n{ANSWER}",
    f"\nIt starts with {PREFIX}, I am sure.\n</think>\n<|begin_of_box|>{ANSWER}<|end_of_box|>",
    # tags that do not match
    f"<think>First <think> about it</think>\n{ANSWER}",
    f"<think>I close with </think> and then write it.</think>\n{ANSWER}",
    f"<think>one<think>two</think>three</think>\n{ANSWER}",
    f"<think>one</think>\n<think>two</think>\n{ANSWER}",
    f"<think>a</think>\n{ANSWER}</answer>",
    # the embedded model, which neither thinks nor boxes, with white space and tags of the answer's own
    f"{ANSWER}",
]

WRONG = [
    ("<think>It begins with " + ANSWER, "", CUT_THINKING),
    ("<think>", "", CUT_THINKING),
    ("<think>one</think>\n<think>two", "", CUT_THINKING),
    ("<think>done</think>", "", ONLY_THOUGHT),
    ("<think>done</think>\n\n<|user|>", "", ONLY_THOUGHT),
    ("<think>done</think><answer></answer>", "", ONLY_THOUGHT),
    ("<think>done</think><|begin_of_box|><|end_of_box|>", "", ONLY_THOUGHT),
    ("", "", EMPTY),
    (" \n", " \n", EMPTY),
    ("<|user|>", "", EMPTY),
    ("<think></think>\n", "", EMPTY),
    ("<think>x</think>The poem: " + ANSWER, "The poem: " + ANSWER, ANSWERED),
    ("\n" + ANSWER, "\n" + ANSWER, ANSWERED),  # the official rule strips nothing
    ("I think it is <answer>" + ANSWER + "</answer>", "I think it is <answer>" + ANSWER + "</answer>", ANSWERED),
    ("<think>x</think>I cannot see it.", "I cannot see it.", ANSWERED),
    ("<THINK>x</THINK>" + ANSWER, "<THINK>x</THINK>" + ANSWER, ANSWERED),
]

UNTOUCHED = [
    f"{ANSWER} \n\n",
    f"{PREFIX} She said <think>hm</think> and left.",
    f"{PREFIX}<answer>yes</answer>",
    f"{PREFIX} a box <|begin_of_box|>x<|end_of_box|> of tricks",
    f"{PREFIX} Write <think> to begin.",
    f"{PREFIX}<|user|> in the middle",
]

FORMS: list[Callable[[str], str]] = [
    lambda answer: f"<think>thoughts</think>\n{answer}",
    lambda answer: f"<think>thoughts</think><answer>{answer}</answer>",
    lambda answer: f"<think>thoughts</think>\n<|begin_of_box|>{answer}<|end_of_box|>",
    lambda answer: f"<think>thoughts</think>\n{answer}<|user|>",
    lambda answer: f"thoughts</think>\n{answer}",
    lambda answer: f"<|begin_of_box|>{answer}<|end_of_box|><|endoftext|>",
]
"""The six released forms."""

MARKS = ["<think>", "</think>", *(mark for frame in FRAMES for mark in frame), *ENDS]
answers = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<"), max_size=60).map(PREFIX.__add__)
anything = st.lists(st.one_of(st.sampled_from([*MARKS, " ", "\n", "x"]), st.text(max_size=4)), max_size=14).map("".join)


def test_forty_responses_are_written_here():
    assert len(set(RIGHT)) + len(WRONG) + len(UNTOUCHED) >= 40


@pytest.mark.parametrize("response", RIGHT)
def test_a_right_answer_is_found_in_every_form(response):
    parts = take_apart(response)
    assert parts.answer == ANSWER
    assert parts.outcome == ANSWERED
    assert grade(parts.answer, ANSWER, PREFIX).score == 1.0


@pytest.mark.parametrize(("response", "answer", "outcome"), WRONG)
def test_what_is_no_right_answer_stays_none_and_is_told_apart(response, answer, outcome):
    parts = take_apart(response)
    assert (parts.answer, parts.outcome) == (answer, outcome)
    assert grade(parts.answer, ANSWER, PREFIX).score == 0.0


@pytest.mark.parametrize("response", UNTOUCHED)
def test_a_response_without_thoughts_keeps_its_white_space_and_its_tags(response):
    assert take_apart(response).answer == response


@pytest.mark.parametrize(
    ("response", "limited", "outcome"),
    [
        ("<think>on and on", True, CUT_THINKING),
        ("<think>on and on", False, ONLY_THOUGHT),
        ("<think>done</think>" + ANSWER[:20], True, CUT_ANSWERING),
        (ANSWER[:20], True, CUT_ANSWERING),
        (ANSWER, False, ANSWERED),
        ("<think>done</think>", True, ONLY_THOUGHT),
        ("", True, EMPTY),
    ],
)
def test_a_known_limit_tells_what_was_cut(response, limited, outcome):
    assert take_apart(response, limited).outcome == outcome


@given(anything)
@settings(max_examples=500)
def test_the_parts_make_the_response_and_the_answer_has_no_parts(response):
    parts = take_apart(response)
    assert parts.before + parts.answer + parts.after == response
    assert len(parts.thoughts) <= len(response)
    assert parts.outcome in OUTCOMES
    assert parts.unended == (parts.outcome == CUT_THINKING)
    assert take_apart(parts.answer).answer == parts.answer


@given(answers, st.sampled_from(FORMS))
@settings(max_examples=200)
def test_a_right_answer_scores_one_in_every_form(answer, form):
    parts = take_apart(form(answer))
    assert parts.outcome == ANSWERED
    assert parts.answer == answer.strip()
    assert grade(parts.answer, answer.strip(), PREFIX).score == 1.0


@given(st.text(max_size=80))
@settings(max_examples=200)
def test_text_without_marks_is_its_own_answer(text):
    if not any(mark in text for mark in MARKS):
        assert take_apart(text).answer == text


def lines_run(response: str) -> int:
    """Lines of Python that taking a response apart runs; each looks at no more than a stretch of it once."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        take_apart(response)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "unit",
    [
        *MARKS, "x ", "<think></think>", "<think>a</think>b", "</think><think>", "<answer><|begin_of_box|>",
        "</answer><|end_of_box|>", "a</think><answer><think>", "<think><think></think>x", "x<|end_of_box|></answer> ",
        "<|user|> ",
    ],
)  # fmt: skip
@pytest.mark.parametrize("around", ["{}", "<think>a</think>{}", "{}</think>x", "<answer>{}x", "x{}<|end_of_box|>"])
def test_twice_the_response_takes_twice_the_steps(unit, around):
    short, long = (lines_run(around.format(unit * n)) for n in (200, 400))
    assert long <= 2 * short + 50


def test_a_response_of_ten_megabytes_is_taken_apart():
    thoughts = "I look at page 3 <think> again </think2> and " * 230_000
    parts = take_apart(f"<think>{thoughts}</think>\n<|begin_of_box|>{ANSWER}<|end_of_box|>" + " " * 100_000)
    assert len(thoughts) > 10_000_000
    assert parts.answer == ANSWER


def glyph_by_the_book(response: str, answer: str, prefix: str) -> float:
    """Glyph's scoring of an MRCR sample once more, by other means."""
    said = re.sub(r"\A\s+|\s+\Z", "", response[m.end() :] if (m := last_tag(response)) else response)
    if said[: len(prefix)] != prefix:
        return 0.0
    said = "".join(said[len(prefix) :].split("<|user|>"))
    wanted = answer[len(prefix) :] if answer[: len(prefix)] == prefix else answer
    return SequenceMatcher(a=said, b=wanted).ratio()


def last_tag(response: str) -> "re.Match[str] | None":
    tags = list(re.finditer("</think>", response))
    return tags[-1] if tags else None


def made_pair(seed: int) -> tuple[str, str, str]:
    """A response in some form and its right answer: right, changed, shortened, without its prefix, ..."""
    chance = random.Random(seed)
    prefix = "".join(chance.choices(string.ascii_letters + string.digits, k=10))
    known = ["tapir", "moon", "river", "moss,", "\n", "and", "wade", *chance.choice([[], ["<|user|>"]])]
    words = chance.choices(known, k=90)
    answer = prefix + " ".join(words[: chance.randint(0, 90)])
    said = list(answer)
    for _ in range(chance.choice([0, 0, 1, 5, 40])):
        said[chance.randrange(len(said))] = chance.choice("abc \n")
    text = "".join(said)[: chance.choice([None, None, len(said) // 2])]
    text = chance.choice([text, text, text, text[5:], "\n" + text, text + " \n<|user|>", ""])
    form = chance.choice([*FORMS, lambda text: text, lambda text: "<think>cut " + text, lambda text: text + "</think>"])
    return form(text), answer, prefix


def test_glyphs_score_is_that_of_its_scripts():
    pairs = [made_pair(seed) for seed in range(400)]
    scores = [glyph_grade(after_thoughts(response), answer, prefix).score for response, answer, prefix in pairs]
    assert scores == [glyph_by_the_book(*pair) for pair in pairs]
    # They are of all kinds.
    assert sum(score == 0 for score in scores) > 50
    assert sum(0 < score < 1 for score in scores) > 50
    assert sum(score == 1 for score in scores) > 10


def test_glyphs_scripts_know_no_frames():
    assert glyph_grade(after_thoughts(f"<think>t</think><answer>{ANSWER}</answer>"), ANSWER, PREFIX).score == 0.0
    assert glyph_grade(after_thoughts(f"<think>t</think>\n{ANSWER}<|user|>"), ANSWER, PREFIX).exact
    assert glyph_grade(after_thoughts(f"<|user|>{ANSWER}"), ANSWER, PREFIX).score == 0.0


def cleared_by_the_book(response: str) -> str:
    """`clear_pred.py` of Glyph's LongBench."""
    kept = re.sub(r"<think>.*?</think>\s*", "", response, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<\|[^|]+\|>", "", kept)).strip()


PARTS = ["<think>", "</think>", "<|user|>", "<|", "|>", "|", "Ada", " ", "\n", "\u3000", "\x1c", "<|begin_of_box|>"]


@given(st.lists(st.sampled_from(PARTS), max_size=14).map("".join))
@settings(max_examples=500)
def test_what_longbench_grades_by_glyph_is_what_its_scripts_leave(response):
    assert without_marks(response) == cleared_by_the_book(response)


def test_thoughts_that_never_end_are_passed_over_at_once():
    assert without_marks("<think>" * 200_000) == "<think>" * 200_000
