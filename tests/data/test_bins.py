"""The bins of context length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.data.bins import BEYOND, BINS, EDGES, bin_of, parse_bin, upper_edge
from freqq.errors import UserError


def test_an_edge_belongs_to_the_bin_that_it_ends():
    for edge, name, following in zip(EDGES, BINS, [*BINS[1:], BEYOND], strict=True):
        assert bin_of(edge) == name
        assert bin_of(edge + 1) == following


@given(st.integers(0, 2**21), st.integers(0, 2**21))
def test_more_tokens_are_never_in_a_lower_bin(one, other):
    order = [*BINS, BEYOND]
    assert (order.index(bin_of(one)) <= order.index(bin_of(other))) or one > other


@pytest.mark.parametrize(("low", "high"), [(i, j) for i in range(8) for j in range(i, 8)])
def test_a_range_is_its_bins(low, high):
    text = f"{BINS[low].split('_')[0]}-{BINS[high].split('_')[1]}"
    assert parse_bin(text) == BINS[low : high + 1]
    assert upper_edge(parse_bin(text)) == EDGES[high]


@pytest.mark.parametrize("text", ["0-8k", "0k_8k", "4k-8k", "0k-8K", " 0 - 8 "])
def test_the_first_bin_has_several_spellings(text):
    assert parse_bin(text) == ("0k_8k",)


def test_a_million_is_the_last_edge():
    assert parse_bin("512k-1m") == ("512k_1024k",)
    assert parse_bin("0-128k") == BINS[:5]


@pytest.mark.parametrize("text", ["", "8k", "8k-", "9k-16k", "8k-17k", "16k-8k", "8k-8k", "eight-ten", "0-99999999k"])
def test_anything_else_is_refused(text):
    with pytest.raises(UserError, match="--bin"):
        parse_bin(text)
