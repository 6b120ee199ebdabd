"""Bins of many samples, counted while the next ones are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.data import bins, index
from freqq.data.index import AHEAD, Counts, Entry, all_binned, binned, entries
from freqq.data.sample import Sample, Turn
from tests.data.conftest import BYTES

chats = st.lists(st.tuples(st.integers(0, 20_000), st.sampled_from(["", "", "8k_16k"])), max_size=3 * AHEAD)


def samples(chats):
    return [
        Sample(f"s{i}", bin=bin, bin_source="file" if bin else "", turns=(Turn("user", "é" * length),), question="?")
        for i, (length, bin) in enumerate(chats)
    ]


@given(chats, st.sampled_from([100.0, 8192.0, float("inf")]))
def test_many_at_once_are_binned_as_one_by_one_and_in_their_order(chats, most):
    counts = Counts("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bins, "encoding", lambda: BYTES)
        expected = [binned(sample, most) for sample in samples(chats)]
        assert list(all_binned(samples(chats), counts, most)) == expected
        patch.setattr(index, "count", lambda *texts: pytest.fail("it was counted twice"))
        assert list(all_binned(samples(chats), counts, most)) == expected


def test_only_so_many_are_read_ahead():
    read = []

    def reading():
        for sample in samples([(5, "")] * 4 * AHEAD):
            read.append(sample.id)
            yield sample

    for given_out, _ in enumerate(all_binned(reading(), Counts("")), 1):
        assert len(read) <= given_out + AHEAD
    assert len(read) == 4 * AHEAD


def test_a_fault_is_forgotten_and_all_else_is_known_from_then_on(tmp_path, monkeypatch):
    monkeypatch.setenv("FREQQ_CACHE", str(tmp_path))
    faults = ["a library is missing", "a library is missing", None, "a library is missing"]

    def make():
        fault = faults.pop(0)
        return [Entry(sample, "", 3, fault if i == 1 else None) for i, sample in enumerate(samples([(3, "")] * 3))]

    for _ in range(5):
        found = entries("content", "longbench", 0, make)
    assert len(faults) == 1
    assert [(entry.bare.id, entry.fault) for entry in found] == [("s0", None), ("s1", None), ("s2", None)]


def test_an_error_of_reading_is_not_swallowed():
    def reading():
        yield from samples([(5, "")] * 3)
        raise ValueError("torn")

    with pytest.raises(ValueError, match="torn"):
        list(all_binned(reading(), Counts("")))
