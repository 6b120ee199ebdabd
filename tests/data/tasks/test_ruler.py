"""RULER's metric."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.data.sample import Sample, Turn
from freqq.data.tasks import TASKS
from freqq.data.tasks.ruler import FORMS, answer, is_any

WORDS = st.lists(st.text("abcAB0 \n", min_size=1, max_size=8), min_size=1, max_size=4).map(tuple)


def sample(subtask: str, *references: str) -> Sample:
    wanted = answer(references, is_any(subtask))
    return Sample("s", 0, "", (Turn("", "text"),), "q", wanted, "", references=references, subtask=subtask)


@pytest.mark.parametrize(
    ("subtask", "references", "said", "score"),
    [
        ("niah_single_1", ("1234567",), "It is 1234567.", 1.0),
        ("niah_multivalue", ("1", "2", "3", "4"), "2, 4", 0.5),
        ("vt", ("ABCDE", "FGHIJ"), "abcde", 0.5),
        ("qa_1", ("Paris", "the capital"), "PARIS", 1.0),
        ("qa_2", ("yes",), "no", 0.0),
        ("cwe", ("a b",), "a\tb", 0.0),
        ("cwe", ("a\nb",), "a\tb", 1.0),  # control characters become line breaks, as in RULER's evaluation
    ],
)
def test_the_metric(subtask, references, said, score):
    found = TASKS["ruler"].grade(sample(subtask, *references), said)
    assert (found.score, found.exact) == (score, score == 1.0)


@given(st.sampled_from(list(FORMS)), WORDS, st.text("abcAB0, \n", max_size=40))
def test_scores_stay_between_nothing_and_all_and_more_words_never_lower_them(subtask, references, said):
    found = TASKS["ruler"].grade(sample(subtask, *references), said)
    assert 0 <= found.score <= 1
    assert TASKS["ruler"].grade(sample(subtask, *references), f"x{said}x and more").score >= found.score


@given(st.sampled_from(list(FORMS)), st.lists(st.text("abcAB0", min_size=1, max_size=8), min_size=1).map(tuple))
def test_the_answer_is_perfect(subtask, references):
    asked = sample(subtask, *references)
    assert TASKS["ruler"].grade(asked, asked.answer).exact
