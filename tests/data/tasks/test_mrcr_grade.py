"""MRCR's grade."""

from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.data.tasks.base import Marks
from freqq.data.tasks.mrcr import grade

ANSWER = "aB3xYzold river stone."


def test_the_answer_itself_is_exact():
    assert grade(ANSWER, ANSWER, "aB3xYz") == Marks(1.0, True, True, True)


@pytest.mark.parametrize("response", ["", "old river stone.", "x" + ANSWER, "ab3xyzold river stone."])
def test_without_the_prefix_nothing_counts(response):
    assert grade(response, ANSWER, "aB3xYz") == Marks(0.0, False, False, False)


def test_the_prefix_alone_scores_nothing_but_is_seen():
    assert grade("aB3xYz", ANSWER, "aB3xYz") == Marks(0.0, False, True, False)


def test_nothing_is_stripped():
    spaced = grade("aB3xYz old river stone.", ANSWER, "aB3xYz")
    assert spaced.prefix_ok
    assert not spaced.exact
    assert not spaced.first_char_ok
    assert spaced.score < 1.0
    assert not grade(ANSWER + "\n", ANSWER, "aB3xYz").exact
    assert grade(" " + ANSWER, ANSWER, "aB3xYz").score == 0.0


def test_the_prefix_is_removed_once():
    assert grade("ababc", "ababc", "ab").exact
    assert grade("abc", "ababc", "ab").score == SequenceMatcher(None, "c", "abc").ratio()


def test_the_response_is_the_first_argument():
    response, answer = "tide", "diet"
    one_way, other_way = (
        SequenceMatcher(None, response, answer).ratio(),
        SequenceMatcher(None, answer, response).ratio(),
    )
    assert one_way != other_way
    assert grade("P" + response, "P" + answer, "P").score == one_way


def test_the_junk_heuristic_of_long_texts_is_left_on():
    response, answer = "ab" * 150, "ba" * 150
    with_junk = SequenceMatcher(None, response, answer).ratio()
    assert with_junk != SequenceMatcher(None, response, answer, autojunk=False).ratio()
    assert grade("P" + response, "P" + answer, "P").score == with_junk


@given(st.text(), st.text(), st.text(max_size=6))
def test_grades_are_consistent(response, answer, prefix):
    found = grade(prefix + response, prefix + answer, prefix)
    assert found.prefix_ok
    assert 0.0 <= found.score <= 1.0
    assert found.exact == (response == answer)
    assert not found.exact or (found.score == 1.0 and found.first_char_ok)
