import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.tokens.measures import entropy_bits


@given(st.integers(1, 10), st.integers(1, 5))
def test_equally_likely_symbols_cost_their_logarithm(bits, repeats):
    assert entropy_bits(np.tile(np.arange(2**bits), repeats)) == pytest.approx(bits)


@given(st.lists(st.integers(-5, 5), min_size=1))
def test_entropy_is_bounded_and_ignores_order_and_names(symbols):
    bits = entropy_bits(symbols)
    assert 0 <= bits <= np.log2(len(set(symbols))) + 1e-9
    assert entropy_bits([7 * s for s in reversed(symbols)]) == pytest.approx(bits)


def test_one_symbol_costs_nothing_and_none_neither():
    assert entropy_bits([4, 4, 4]) == 0
    assert entropy_bits([]) == 0


def test_three_to_one():
    assert entropy_bits([0, 0, 0, 1]) == pytest.approx(0.8112781)
