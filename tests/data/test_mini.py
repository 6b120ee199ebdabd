"""The built-in data set."""

import json
import random
import re

import pytest

from freqq.data.mini import (
    HELD_OUT_PAIRS,
    NEEDLES,
    ORDINALS,
    TRAINING_PAIRS,
    chat_record,
    exchanges,
    is_held_out,
    mini,
    request,
)
from freqq.errors import UserError
from freqq.pages.render import layout, render
from freqq.pages.style import Style

QUESTION = re.compile(
    r"Prepend (\w{6}) to the (\w+) \(1 indexed\) (\w+) about (\w+)\. "
    r"Do not include any other text in your response\."
)


def pages_of(sample):
    style = Style().with_overrides(sample.style)
    return list(render([style.label(t.role, t.text) for t in sample.turns], style))


@pytest.mark.parametrize("needles", NEEDLES)
def test_a_sample_asks_for_one_of_its_needles(needles):
    for sample in mini(needles, 60, seed=5):
        prefix, ordinal, kind, topic = QUESTION.fullmatch(sample.question).groups()
        wanted = f"write a {kind} about {topic}"
        answers = [
            answer.text
            for asked, answer in zip(sample.turns[::2], sample.turns[1::2], strict=True)
            if asked.text == wanted
        ]
        assert len(answers) == needles
        assert sample.answer == prefix + answers[ORDINALS.index(ordinal)]
        assert sample.prefix == prefix
        assert len(sample.turns) // 2 > needles
        assert [t.role for t in sample.turns] == ["user", "assistant"] * (len(sample.turns) // 2)


@pytest.mark.parametrize("needles", NEEDLES)
def test_a_record_has_the_official_fields(needles):
    rng = random.Random(1)
    made = chat_record(rng, *exchanges(rng, needles, test=True))
    messages = json.loads(made["prompt"])
    assert set(made) == {
        "prompt", "answer", "random_string_to_prepend", "n_needles", "desired_msg_index", "total_messages", "n_chars",
        "date_added",
    }  # fmt: skip
    assert made["n_needles"] == needles
    assert made["total_messages"] == len(messages)
    assert made["n_chars"] == sum(len(m["content"]) for m in messages)
    wanted = messages[made["desired_msg_index"]]
    assert wanted["role"] == "assistant"
    assert made["answer"] == made["random_string_to_prepend"] + wanted["content"]


@pytest.mark.parametrize("needles", NEEDLES)
def test_samples_do_not_depend_on_how_many_are_drawn(needles):
    assert list(mini(needles, 3, seed=2)) == list(mini(needles, 9, seed=2))[:3]


def test_seeds_and_needle_counts_give_other_samples():
    drawn = [s for needles in NEEDLES for seed in (0, 1) for s in mini(needles, 20, seed)]
    assert len({s.id for s in drawn}) == len(drawn)
    assert len({(s.turns, s.question) for s in drawn}) == len(drawn)


def test_training_and_evaluation_share_no_asked_pair_and_no_answer():
    assert not set(HELD_OUT_PAIRS) & set(TRAINING_PAIRS)
    asked, answers = {True: set(), False: set()}, {True: set(), False: set()}
    for test in (True, False):
        for i in range(150):
            chat, pair = exchanges(random.Random(i), NEEDLES[i % 3], test=test, pseudo=0.3)
            asked[test].add(pair)
            answers[test] |= {e.answer for e in chat}
            assert all(is_held_out(e.answer) == test for e in chat)
    assert not asked[True] & asked[False]
    assert not answers[True] & answers[False]
    assert asked[True] <= set(HELD_OUT_PAIRS)


def test_no_training_chat_requests_a_held_out_pair():
    held_out = {request(pair) for pair in HELD_OUT_PAIRS}
    for i in range(100):
        chat, _ = exchanges(random.Random(i), 4, test=False)
        assert not {request(e.pair) for e in chat} & held_out


@pytest.mark.parametrize("needles", NEEDLES)
def test_pages_are_whole_tokens_and_few(needles):
    for sample in mini(needles, 40, seed=3):
        style = Style().with_overrides(sample.style)
        assert style.width % 28 == 0
        assert style.height % 28 == 0
        pages = pages_of(sample)
        assert 1 <= len(pages) <= 3
        assert all(p.pixels.shape == (style.height, style.width) for p in pages)


def test_pages_differ_in_size_number_and_density():
    samples = [s for needles in NEEDLES for s in mini(needles, 60, seed=4)]
    sizes = {(s.style["width"], s.style["height"]) for s in samples}
    counts = {len(list(layout([t.text for t in s.turns], Style().with_overrides(s.style)))) for s in samples}
    assert len(sizes) >= 10
    assert len(counts) >= 2
    assert len({s.style["margin_left"] for s in samples}) >= 4
    assert {bool(s.style["paragraph_gap"]) for s in samples} == {True, False}


def test_all_text_of_a_chat_is_on_its_pages():
    for sample in mini(4, 20, seed=6):
        style = Style().with_overrides(sample.style)
        shown = " ".join(line.text for page in pages_of(sample) for line in page.lines)
        assert shown.split() == " ".join(style.label(t.role, t.text) for t in sample.turns).split()


@pytest.mark.parametrize("needles", [0, 1, 3, 16])
def test_other_needle_counts_are_refused(needles):
    with pytest.raises(UserError, match="2, 4 and 8"):
        list(mini(needles, 1))
