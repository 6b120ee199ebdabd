"""What is learned from is nothing that is asked in an evaluation."""

from collections.abc import Iterator

import pytest

from freqq.adapt.training_data import file_data, mini_data
from freqq.data.dataset import DataSet
from freqq.data.mini import HELD_OUT_PAIRS, NEEDLES, mini
from freqq.data.mini import is_held_out as is_for_evaluation
from freqq.data.sample import Sample
from freqq.errors import UserError
from freqq.glm.adapter_card import is_held_out
from freqq.runs.rendering import Rendering

COURSES = mini_data(seed=0, questions=4, held_out_size=10)
LESSONS = [COURSES.train(i) for i in range(60)] + [COURSES.held_out(i) for i in range(20)]


def test_training_data_share_no_answer_and_no_asked_pair_with_evaluation() -> None:
    asked = {s.question.split(" to the ")[1] for n in NEEDLES for s in mini(n, 200, seed=0)}
    answers = {s.answer.removeprefix(s.prefix) for n in NEEDLES for s in mini(n, 200, seed=0)}
    pairs = {f"{form} about {topic}." for form, topic in HELD_OUT_PAIRS}
    for example in LESSONS:
        for question in example.questions:
            body = question.answer.removeprefix(question.prefix)
            assert not is_for_evaluation(body)
            assert body not in answers
            assert question.text.split(" to the ")[1] not in asked
            assert not any(question.text.split(". Do not")[0].endswith(pair[:-1]) for pair in pairs)


def test_answers_are_on_the_pages() -> None:
    for example in LESSONS:
        text = "".join(page.text.replace("\n", " ") + " " for page in example.pages)
        for question in example.questions:
            assert question.answer.removeprefix(question.prefix) in text
            assert question.answer.startswith(question.prefix)
            assert question.prefix in question.text


def test_training_data_are_the_same_at_each_call_and_differ_from_each_other() -> None:
    again = mini_data(seed=0, questions=4, held_out_size=10)
    texts = set()
    for i in range(20):
        assert again.train(i).questions == COURSES.train(i).questions
        texts |= {again.train(i).questions[0].text, again.held_out(i).questions[0].text}
    assert len(texts) == 40
    assert mini_data(1, 4, 10).train(0).questions != COURSES.train(0).questions


def data_set(count: int) -> DataSet:
    samples = list(mini(2, count, seed=3))

    def draw(needles: int | None, limit: int | None, seed: int) -> Iterator[Sample]:
        return iter(samples[:limit])

    return DataSet("a file", "mrcr", "r1", (2,), "mrcr", draw)


def test_a_file_is_split_by_its_ids_and_each_turn_has_every_sample_once() -> None:
    data = file_data(data_set(40), (2,), (), Rendering(), seed=0)
    held = {s.question for s in data_set(40).samples(2) if is_held_out(s.id)}
    assert held
    assert {data.held_out(i).questions[0].text for i in range(data.held_out_size)} == held
    rest = 40 - len(held)
    turns = [[data.train(turn * rest + i).questions[0].text for i in range(rest)] for turn in (0, 1)]
    assert set(turns[0]) == set(turns[1]) == {s.question for s in data_set(40).samples(2)} - held
    assert turns[0] != turns[1]


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(UserError, match="a file has 1 samples for training and 0 for validation"):
        file_data(data_set(1), (2,), (), Rendering(), seed=0)
