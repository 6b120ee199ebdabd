"""The task `transcribe` and its grade."""

import unicodedata

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.data.sample import Sample, Turn, context
from freqq.data.tasks.base import Marks
from freqq.data.tasks.transcribe import QUESTION, grade_transcript, transcribe

TEXTS = st.text(alphabet="abéB .,\n", max_size=60)


@given(TEXTS)
def test_the_text_itself_is_perfect(text):
    assert grade_transcript(text, text) == Marks(1.0, True, cer=0.0, wer=0.0)


@given(TEXTS)
def test_line_breaks_and_the_form_of_accents_do_not_count(text):
    shown = unicodedata.normalize("NFD", "  \n".join(text.split()))
    assert grade_transcript(shown, text) == Marks(1.0, True, cer=0.0, wer=0.0)


@given(TEXTS, TEXTS)
def test_error_rates_are_those_of_jiwer(response, text):
    found = grade_transcript(response, text)
    said, wanted = (" ".join(t.split()) for t in (response, text))
    if wanted:
        assert found.wer == pytest.approx(jiwer.wer(wanted, said))
        assert found.cer == pytest.approx(jiwer.cer(wanted, said))


@given(TEXTS, TEXTS)
def test_recall_and_error_rates_agree(response, text):
    found = grade_transcript(response, text)
    assert 0 <= found.score <= 1
    assert found.cer >= 0
    # An alignment keeps at most as many words as the multisets share.
    assert found.wer + found.score >= 1 - 1e-9 or not text.split()


@given(TEXTS, TEXTS, TEXTS)
def test_saying_more_never_lowers_the_recall(response, more, text):
    longer = grade_transcript(f"{response} {more}", text)
    assert longer.score >= grade_transcript(response, text).score or not text.split()


def test_a_word_counts_as_often_as_the_text_has_it():
    assert grade_transcript("the the the the", "the cat and the dog").score == 2 / 5
    assert grade_transcript("The cat", "the cat").score == 1 / 2


def test_an_empty_text():
    assert grade_transcript("", "") == Marks(1.0, True, cer=0.0, wer=0.0)
    assert grade_transcript("a b", " ") == Marks(0.0, False, cer=3.0, wer=2.0)
    assert grade_transcript("", "a b") == Marks(0.0, False, cer=1.0, wer=1.0)


def test_a_sample_becomes_its_own_answer():
    turns = (Turn("system", "Be brief."), Turn("user", "Hi"), Turn("assistant", "Hello\nthere"))
    sample = Sample("s", 2, "0k_8k", turns, "Which?", "abcHello", "abc")
    asked = transcribe(sample)
    assert (asked.question, asked.prefix) == (QUESTION, "")
    assert asked.answer == context(sample) == "System: Be brief.\nUser: Hi\nAssistant: Hello\nthere"
    assert (asked.id, asked.turns, asked.bin) == (sample.id, sample.turns, sample.bin)


def test_labels_are_those_on_the_pages():
    sample = Sample("s", 0, "", (Turn("user", "a"), Turn("assistant", "b"), Turn("", "c: d")), "", "", "")
    assert context(sample) == "User: a\nAssistant: b\nc: d"
    styled = Sample("s", 0, "", sample.turns, "", "", "", style={"user_label": "U: ", "assistant_label": "A: "})
    assert context(styled) == "U: a\nA: b\nc: d"
