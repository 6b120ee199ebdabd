"""MRCR's official record."""

import json

import pytest

from freqq.data.mrcr import sample_from_record
from freqq.errors import UserError

MESSAGES = [
    {"role": "user", "content": "write a poem about tapirs"},
    {"role": "assistant", "content": "A snout."},
    {"role": "user", "content": "Prepend abc to the 1st (1 indexed) poem about tapirs."},
]
RECORD = {"prompt": json.dumps(MESSAGES), "answer": "abcA snout.", "random_string_to_prepend": "abc", "n_needles": 2}


def test_the_last_message_is_the_question_and_is_not_rendered():
    sample = sample_from_record(RECORD, "s-0", "0k_8k")
    assert sample.question == MESSAGES[-1]["content"]
    assert [(t.role, t.text) for t in sample.turns] == [(m["role"], m["content"]) for m in MESSAGES[:-1]]
    assert (sample.id, sample.bin, sample.needles, sample.prefix) == ("s-0", "0k_8k", 2, "abc")
    assert sample.answer == "abcA snout."


@pytest.mark.parametrize("field", list(RECORD))
def test_a_missing_field_is_named(field):
    with pytest.raises(UserError, match=field):
        sample_from_record({k: v for k, v in RECORD.items() if k != field}, "s-0", "0k_8k")


@pytest.mark.parametrize("prompt", ["not json", "3", '{"role": "user"}', '[{"role": "user"}]', "[]"])
def test_a_prompt_that_is_no_list_of_messages_is_refused(prompt):
    with pytest.raises(UserError, match="s-0"):
        sample_from_record(RECORD | {"prompt": prompt}, "s-0", "0k_8k")


def test_a_chat_that_ends_with_the_assistant_is_refused():
    with pytest.raises(UserError, match="question"):
        sample_from_record(RECORD | {"prompt": json.dumps(MESSAGES[:2])}, "s-0", "0k_8k")
