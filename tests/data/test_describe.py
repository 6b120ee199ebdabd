"""What is in a data set."""

import pytest

from freqq.data.bins import estimate
from freqq.data.describe import Lengths, describe
from freqq.data.load import load
from freqq.errors import UserError
from tests.data.conftest import FILES


@pytest.mark.parametrize("name", ["mrcr", "processed_2needle_0-128k.json", "convbench.xlsx", "chats.jsonl", "chat.txt"])
def test_the_numbers_are_those_of_the_samples(name):
    data = load(FILES / name)
    samples = [s for needles in data.needles for s in data.samples(needles)]
    found = describe(data)
    assert sum(found.counts.values()) == len(samples)
    assert all(found.counts[s.needles, s.bin] for s in samples)
    assert found.chat_characters == tuple(sum(len(t.text) for t in s.turns) for s in samples)
    assert sum(found.message_characters) == sum(found.chat_characters)
    assert len(found.message_characters) == sum(found.chat_messages)
    assert found.chat_tokens == tuple(sum(estimate(t.text) for t in s.turns) for s in samples)
    assert found.example == samples[0]
    assert set(found.bin_sources) == {s.bin_source for s in samples}


def test_a_limit_holds_for_each_needle_count():
    assert describe(load(FILES / "mrcr"), limit=2).counts == {(n, "0k_8k"): 2 for n in (2, 4, 8)}
    assert describe(load("mini"), limit=3).counts == {(n, "mini"): 3 for n in (2, 4, 8)}


def test_lengths_are_in_order():
    found = Lengths.of([5, 1, 9])
    assert (found.smallest, found.median, found.mean, found.largest) == (1, 5, 5, 9)
    for lengths in describe(load(FILES / "mrcr")).lengths.values():
        assert lengths.smallest <= lengths.median <= lengths.largest
        assert lengths.smallest <= lengths.mean <= lengths.largest


def test_nothing_to_describe(tmp_path):
    with pytest.raises(UserError, match="no samples"):
        describe(load(FILES / "chat.txt"), limit=0)
