"""What is learned from is nothing that is asked in an evaluation."""

from collections.abc import Callable, Iterator

import pytest

from freqq.adapt.training_data import Example, TrainingData, file_data, glyph_data, mini_data
from freqq.data.dataset import DataSet
from freqq.data.mini import HELD_OUT_PAIRS, NEEDLES, mini
from freqq.data.mini import is_held_out as is_for_evaluation
from freqq.data.mini_glyph import MOST_PAGES, WIDTHS, mini_glyph
from freqq.data.sample import Sample
from freqq.errors import UserError
from freqq.glm.adapter_card import is_held_out
from freqq.pages.glyph import GlyphConfig
from freqq.runs.rendering import Rendering

Maker = Callable[[int, int], TrainingData]
GLYPHS = Rendering.read(None, dpi=96.0)
MAKERS = {
    "mini": lambda seed, questions: mini_data(seed, questions, held_out_size=10),
    "glyph": lambda seed, questions: glyph_data(seed, questions, 10, GLYPHS),
}
looks = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def lessons(make: Maker) -> list[Example]:
    made = make(0, 4)
    return [*map(made.train, range(40)), *map(made.held_out, range(20))]


@looks
def test_training_data_share_no_answer_and_no_asked_pair_with_evaluation(make: Maker) -> None:
    evaluated = [s for n in NEEDLES for generate in (mini, mini_glyph) for s in generate(n, 200, seed=0)]
    asked = {s.question.split(" to the ")[1] for s in evaluated}
    answers = {s.answer.removeprefix(s.prefix) for s in evaluated}
    pairs = {f"{form} about {topic}." for form, topic in HELD_OUT_PAIRS}
    for example in lessons(make):
        for question in example.questions:
            body = question.answer.removeprefix(question.prefix)
            assert not is_for_evaluation(body)
            assert body not in answers
            assert question.text.split(" to the ")[1] not in asked
            assert not any(question.text.split(". Do not")[0].endswith(pair[:-1]) for pair in pairs)


@looks
def test_answers_are_on_the_pages(make: Maker) -> None:
    for example in lessons(make):
        text = " ".join(" ".join(page.text for page in example.pages).split())
        for question in example.questions:
            assert question.answer.removeprefix(question.prefix) in text
            assert question.answer.startswith(question.prefix)
            assert question.prefix in question.text


def test_pages_in_glyphs_look_are_drawn_as_is_asked_for_and_small_reads_them() -> None:
    for example in lessons(MAKERS["glyph"]):
        assert 1 <= len(example.pages) <= MOST_PAGES
        for page in example.pages:
            assert isinstance(page.style, GlyphConfig)
            assert page.style.dpi == 96
            assert page.pixels.shape[1] <= WIDTHS[1] * 96 / 72 + 1


@looks
def test_training_data_are_the_same_at_each_call_and_differ_from_each_other(make: Maker) -> None:
    first, again, texts = make(0, 4), make(0, 4), set()
    for i in range(20):
        assert again.train(i).questions == first.train(i).questions
        texts |= {again.train(i).questions[0].text, again.held_out(i).questions[0].text}
    assert len(texts) == 40
    assert make(1, 4).train(0).questions != first.train(0).questions


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
