import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from freqq.transforms.quantize import EIGHTHS, HIGHEST, LOWEST, ZERO, from_numbers, round_up, to_numbers

peaks = st.lists(st.floats(2.0**-99, 2.0**127, width=32) | st.just(0.0), min_size=1, max_size=20)


def test_eighths_are_eighths_of_an_octave():
    np.testing.assert_allclose(EIGHTHS, 2 ** (np.arange(9) / 8 - 1), rtol=1e-15)


@given(peaks)
def test_a_scale_is_the_next_from_a_peak_on(values):
    given_peaks = torch.tensor(values)
    scales = round_up(given_peaks)
    assert (scales >= given_peaks).all()
    assert (scales <= given_peaks * 2 ** (1 / 8) * (1 + 1e-6)).all()
    assert torch.equal(round_up(scales), scales)


@given(peaks)
def test_scales_come_back_from_their_numbers(values):
    scales = round_up(torch.tensor(values)).numpy()
    np.testing.assert_array_equal(from_numbers(to_numbers(scales)), scales)


@given(st.integers(LOWEST, HIGHEST - 1) | st.just(ZERO))
def test_numbers_come_back_from_their_scales(number):
    numbers = np.array([number], np.int16)
    np.testing.assert_array_equal(to_numbers(from_numbers(numbers)), numbers)


@pytest.mark.parametrize("number", [LOWEST - 1, HIGHEST, 32767, ZERO + 1])
def test_numbers_of_no_scale_are_refused(number):
    with pytest.raises(ValueError, match="out of range"):
        from_numbers(np.array([0, number], np.int16))
