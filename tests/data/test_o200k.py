"""Token counts and their estimate."""

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from freqq.data import bins
from freqq.data.bins import MARK, count, estimate
from tests.data.conftest import BYTES

ENCODING = bins.encoding


@given(st.text(), st.text())
def test_an_estimate_grows_with_the_text(one, other):
    assert max(estimate(one), estimate(other)) <= estimate(one + other) <= estimate(one) + estimate(other)
    assert (estimate(one) == 0) == (one == "")


def test_without_the_tokens_file_the_count_is_an_estimate():
    assert count(["abcdef" * 10, "xyz"]) == (estimate("abcdef" * 10) + estimate("xyz"), "estimate")


@given(st.lists(st.text()))
def test_a_count_is_the_sum_over_the_texts(texts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bins, "encoding", lambda: BYTES)
        assert count(texts) == (sum(len(t.encode()) for t in texts), "o200k")


@given(st.lists(st.lists(st.sampled_from(["ab", " ", "ab ", "\n", "é", "<|endof", "text|>", MARK])).map("".join)))
def test_texts_are_counted_each_by_itself(texts):
    """Pairs of the same letters or blanks are a token, but not across two texts."""
    pairs = tiktoken.Encoding(
        "pairs",
        pat_str=r"\S+|\s+(?!\S)|\s+",
        mergeable_ranks=BYTES._mergeable_ranks | {b"ab": 256, b"ba": 257, b"  ": 258, b"><": 259},
        special_tokens={MARK: 300},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bins, "encoding", lambda: pairs)
        assert count(texts) == (sum(len(pairs.encode_ordinary(text)) for text in texts), "o200k")
        assert count(texts, most=1e9) == count(texts)


def test_counting_stops_beyond_the_most(monkeypatch):
    monkeypatch.setattr(bins, "encoding", lambda: BYTES)

    def texts():
        yield "abc"
        yield "def"
        pytest.fail("it went on")

    assert count(texts(), most=5) == (6, "o200k")


def test_endless_blanks_are_estimated_rather_than_counted(monkeypatch):
    monkeypatch.setattr(bins, "encoding", lambda: BYTES)
    assert count([" " * 1_000_000]) == (estimate(" " * 1_000_000), "estimate")
    assert count([" " * 1_000]) == (1_000, "o200k")


def test_no_network_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    tiktoken.registry.ENCODINGS.pop("o200k_base", None)
    ENCODING.cache_clear()
    try:
        assert ENCODING() is None
    finally:
        ENCODING.cache_clear()
