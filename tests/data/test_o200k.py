"""Token counts and their estimate."""

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from freqq.data import bins
from freqq.data.bins import count, estimate

ENCODING = bins.encoding
BYTES = tiktoken.Encoding(
    "bytes", pat_str=r"\S+|\s+", mergeable_ranks={bytes([i]): i for i in range(256)}, special_tokens={}
)
"""A real encoding without merges: a token a byte."""


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
