"""`mini` in Glyph's look: chats that can be graded, whose pages fit, and of which training shows nothing."""

import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.data.load import load, with_look
from freqq.data.mini import HELD_OUT_PAIRS, is_held_out
from freqq.data.mini_glyph import LONGEST, MOST_PAGES, glyph_exchanges, mini_glyph, sentence_text
from freqq.data.tasks import TASKS
from freqq.errors import UserError
from freqq.glm.train.small.chats import haystack
from freqq.runs.rendering import Rendering
from freqq.runs.sources import usual_batch_size, usual_new_tokens

COUNTS = st.sampled_from([2, 4, 8])


@given(COUNTS, st.integers(0, 1000), st.sampled_from([72.0, 100.0, 144.0]))
def test_a_chat_has_a_page_to_six_at_every_resolution(needles, seed, dpi):
    (sample,) = mini_glyph(needles, 1, seed)
    at_72 = list(Rendering.read(None, None, 72.0).pages(sample))
    pages = list(Rendering.read(None, None, dpi).pages(sample))
    assert 1 <= len(pages) == len(at_72) <= MOST_PAGES
    said = " ".join(" ".join(line.text for line in page.lines) for page in pages).split()
    assert said == " ".join(f"{turn.role.capitalize()}: {turn.text}" for turn in sample.turns).split()


@given(COUNTS, st.integers(0, 1000))
def test_the_right_answer_is_in_the_chat_and_scores_one(needles, seed):
    (sample,) = mini_glyph(needles, 1, seed)
    answer = sample.answer.removeprefix(sample.prefix)
    assert answer in [turn.text for turn in sample.turns]
    assert is_held_out(answer)
    assert len(answer) <= LONGEST
    asked = [turn.text.removeprefix("write a ") for turn in sample.turns if turn.text.startswith("write a ")]
    (pair,) = [p for p in HELD_OUT_PAIRS if f"{p[0]} about {p[1]}." in sample.question]
    assert asked.count(f"{pair[0]} about {pair[1]}") == needles
    assert TASKS["mrcr"].grade(sample, sample.answer).score == 1


@given(st.integers(0, 2**32))
def test_training_shows_no_answer_and_asks_for_no_pair_of_evaluation(seed):
    chat, asked = glyph_exchanges(random.Random(seed), 2, test=False)
    assert asked not in HELD_OUT_PAIRS
    assert not any(is_held_out(exchange.answer) for exchange in chat)
    assert is_held_out(sentence_text(random.Random(seed), test=True))


def test_a_sample_does_not_depend_on_how_many_there_are():
    assert list(mini_glyph(4, 3, 5)) == list(islice(mini_glyph(4, 10, 5), 3))
    assert len({sample.id for sample in mini_glyph(4, 10, 5)}) == 10


@given(
    st.sampled_from(["niah_single_1", "niah_single_2", "niah_multikey_1"]), st.integers(128, 400), st.integers(0, 99)
)
def test_rulers_needles_have_a_few_pages_and_numbers_that_training_never_asks_for(subtask, context, seed):
    data = with_look(load("ruler-mini"), "glyph").with_task(subtask).with_context(context)
    (sample,) = data.samples(limit=1, seed=seed)
    assert is_held_out(sample.references[0])
    assert TASKS["ruler"].grade(sample, f" {sample.references[0]}.").score == 1
    pages = list(Rendering.read(None, None, 96.0).pages(sample))
    assert 1 <= len(pages) <= MOST_PAGES
    assert sample.references[0] in " ".join(line.text for page in pages for line in page.lines)
    source = haystack(random.Random(f"{subtask}{context}{seed}"), 600)
    (question,) = source.questions
    assert not is_held_out(source.text[question.start : question.stop])


def test_it_is_a_look_of_small_data_and_of_nothing_else():
    data = with_look(load("mini"), "glyph")
    assert not data.own_look
    assert usual_batch_size(data) == 16
    assert usual_new_tokens(data) == 512
    assert {next(data.samples(needles)).needles for needles in data.needles} == {2, 4, 8}
    assert usual_new_tokens(data.with_task("transcribe")) == 512
    with pytest.raises(UserError, match="unknown look 'glif'"):
        with_look(load("mini"), "glif")
    with pytest.raises(UserError, match="--look is for --data mini and ruler-mini, not for ruler"):
        with_look(load("ruler"), "glyph")
