"""Samples drawn by a seed: nested, in proportion, and the same everywhere."""

import json
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.data import bins
from freqq.data.bins import BINS
from freqq.data.dataset import DataSet
from freqq.data.draws import Stratum, apportion, choose
from freqq.data.load import load
from freqq.data.mini import mini
from freqq.data.sample import Sample, Turn
from freqq.errors import UserError
from tests.data.conftest import BYTES

SIZES = st.lists(st.integers(1, 15), min_size=1, max_size=7)
STRATA = st.dictionaries(st.text(max_size=4), st.sampled_from(BINS), min_size=1, max_size=60)


@given(SIZES)
def test_every_share_is_exact_but_for_rounding_and_none_ever_shrinks(sizes):
    total, before = sum(sizes), [0] * len(sizes)
    for limit in range(total + 3):
        counts = apportion(sizes, limit)
        assert sum(counts) == min(limit, total)
        for size, count in zip(sizes, counts, strict=True):
            exact = Fraction(size * min(limit, total), total)
            assert abs(count - exact) < 1
        assert all(now - then in (0, 1) for now, then in zip(counts, before, strict=True))
        before = counts
    assert before == sizes


@given(STRATA, st.integers(0, 5), st.data())
def test_a_larger_draw_has_all_of_a_smaller_one_in_whatever_order_they_come(strata, seed, data):
    shuffled = dict(data.draw(st.permutations(list(strata.items()))))
    before: set[str] = set()
    for limit in range(len(strata) + 1):
        found = choose(strata, limit, seed)
        assert len(found) == limit
        assert before <= found <= set(strata)
        assert choose(shuffled, limit, seed) == found
        before = found


def test_a_seed_means_the_same_on_every_machine():
    """Written down: another library, hash seed or Python must not draw others."""
    strata = {f"2needle-{i}": BINS[i % 3] for i in range(30)}
    assert sorted(choose(strata, 5, 0)) == ["2needle-0", "2needle-10", "2needle-12", "2needle-13", "2needle-29"]
    assert sorted(choose(strata, 5, 1)) == ["2needle-14", "2needle-15", "2needle-27", "2needle-7", "2needle-8"]


def test_seeds_draw_others_and_each_sample_as_often():
    strata = {str(i): BINS[i % 4] for i in range(40)}
    counts = Counter(id for seed in range(400) for id in choose(strata, 10, seed))
    assert set(counts) == set(strata)
    assert 60 <= min(counts.values()) <= max(counts.values()) <= 150  # 100 each, but for chance (sigma is 8.7)


def test_a_limit_below_the_number_of_strata_takes_the_largest_and_else_those_that_the_seed_says():
    strata = {**{f"a{i}": "0k_8k" for i in range(50)}, "b": "8k_16k", "c": "16k_32k", "d": "32k_64k"}
    assert {strata[id] for seed in range(20) for id in choose(strata, 1, seed)} == {"0k_8k"}
    even = {f"{name}{i}": name for name in BINS[:4] for i in range(5)}
    drawn = [{even[id] for id in choose(even, 2, seed)} for seed in range(40)]
    assert all(len(bins) == 2 for bins in drawn)
    assert set().union(*drawn) == set(BINS[:4])


def data_set(samples, **more):
    def draw(needles, limit, seed):
        assert limit is None
        return iter(samples)

    return DataSet("some", "mrcr", "r", (2, 4), "mrcr", draw, **more)


def drawn_from(data, *how, **more):
    """The strata, and the samples themselves."""
    drawn = data.drawn(*how, **more)
    return drawn.strata, data.read(drawn.entries)


def sample(id, needles, bin, text="text"):
    return Sample(id, needles, bin, (Turn("user", text),), "q", "a", "p", bin_source="file" if bin else "")


SOME = st.lists(
    st.tuples(st.sampled_from((2, 4)), st.sampled_from(BINS[:3]), st.sampled_from(("", "stated"))), min_size=1
)


@given(SOME, st.integers(0, 9), st.integers(1, 120))
def test_a_draw_keeps_the_order_of_the_data_and_says_how_it_was_made(kinds, seed, limit):
    words = {"0k_8k": 1, "8k_16k": 10_000, "16k_32k": 20_000}  # of 4.8 bytes, as tokens are estimated
    samples = [
        sample(f"s{i}", n, bin if stated else "", "word " * words[bin]) for i, (n, bin, stated) in enumerate(kinds)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bins, "encoding", lambda: None)
        for needles in (2, 4):
            strata, found = drawn_from(data_set(samples), needles, limit, seed)
            there = [s.id for s in samples if s.needles == needles]
            ids = [s.id for s in found]
            assert ids == [id for id in there if id in ids]
            assert len(ids) == min(limit, len(there))
            assert Counter(s.bin for s in found) == +Counter({s.bin: s.drawn for s in strata})
            everything = Counter(b for n, b, _ in kinds if n == needles)
            assert {s.bin: s.there for s in strata} == everything
            for stratum in strata:
                assert abs(stratum.drawn - Fraction(len(ids) * stratum.there, len(there))) < 1


def test_bins_are_drawn_from_alone():
    samples = [sample(f"s{i}", 2, BINS[i % 3]) for i in range(30)]
    strata, found = drawn_from(data_set(samples), 2, 6, 0, bins=BINS[1:3])
    assert strata == (Stratum(2, "16k_32k", 3, 10), Stratum(2, "8k_16k", 3, 10))
    assert {s.bin for s in found} == set(BINS[1:3])
    assert data_set(samples).drawn(2, 6, 0, bins=("512k_1024k",)).entries == ()


def test_the_choice_does_not_depend_on_whether_tokens_can_be_counted(monkeypatch):
    samples = [sample(f"s{i}", 2, "", "aaaa bbbb " * (150 * i)) for i in range(60)]
    found = []
    for encoding in (None, BYTES):
        monkeypatch.setattr(bins, "encoding", lambda encoding=encoding: encoding)
        _, read = drawn_from(data_set(samples), 2, 20, 0)
        found.append([s.id for s in read])
        assert {s.bin_source for s in read} == {"estimate" if encoding is None else "o200k"}
    assert found[0] == found[1]


def test_what_is_made_stays_the_first_of_its_stream():
    for seed, limit in ((0, 3), (5, 2)):
        strata, found = drawn_from(load("mini"), 4, limit, seed)
        assert found == list(mini(4, limit, seed))
        assert strata == ()


def test_ids_that_occur_twice_are_refused_wherever_they_are():
    samples = [sample("s0", 2, BINS[0])] * 2
    with pytest.raises(UserError, match="'s0' occurs twice"):
        data_set(samples).drawn(2, 1, 0)


def test_transcription_is_of_the_samples_that_were_drawn(tmp_path):
    chats = [{"messages": [{"role": "user", "content": f"chat {i}"}]} for i in range(10)]
    (tmp_path / "chats.jsonl").write_text("\n".join(map(json.dumps, chats)))
    _, found = drawn_from(load(tmp_path / "chats.jsonl"), 0, 4, 7)
    assert [s.answer for s in found] == [f"User: chat {s.id.removeprefix('chats-')}" for s in found]
    assert len(found) == 4
