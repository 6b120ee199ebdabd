"""Means, intervals, paired differences."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from freqq.report.statistics import Estimate, mean_estimate, paired_difference

SCORES = st.lists(st.floats(0, 1), min_size=2, max_size=30)


@settings(max_examples=25, deadline=None)
@given(SCORES)
def test_the_mean_lies_in_its_interval_and_the_interval_in_the_data(values):
    found = mean_estimate(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.low <= found.mean + 1e-9
    assert found.mean <= found.high + 1e-9
    assert min(values) - 1e-9 <= found.low
    assert found.high <= max(values) + 1e-9


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_equal_values_have_an_interval_of_no_width(value):
    found = mean_estimate([value] * 5)
    assert (found.mean, found.low, found.high) == pytest.approx((value, value, value))


def test_too_few_values_leave_the_interval_open():
    assert mean_estimate([0.5]).mean == 0.5
    assert math.isnan(mean_estimate([0.5]).low)
    assert math.isnan(mean_estimate([]).mean)


def test_the_same_values_give_the_same_interval():
    values = np.random.default_rng(0).random(40)
    assert mean_estimate(values) == mean_estimate(values)
    assert mean_estimate(values) != mean_estimate(values, seed=1)


def test_on_normal_data_the_interval_is_that_of_the_t_test():
    values = np.random.default_rng(1).normal(0.5, 0.1, 200)
    exact = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = mean_estimate(values)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.002)


@pytest.mark.slow
def test_the_interval_covers_the_true_mean_of_skewed_scores_nineteen_times_in_twenty():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        found = mean_estimate(np.where(rng.random(100) < 0.85, 1.0, rng.random(100)))
        covered += found.low <= 0.85 + 0.15 * 0.5 <= found.high
    # A true coverage of .95 falls below .90 once in a thousand times.
    assert covered / 200 >= 0.90


def test_pairing_takes_out_what_makes_samples_hard():
    rng = np.random.default_rng(3)
    baseline = rng.random(100)
    method = baseline - 0.02 + rng.normal(0, 0.01, 100)
    paired = paired_difference(list(method), list(baseline))
    assert paired.high < 0
    assert paired.high - paired.low < 0.01
    alone = mean_estimate(method)
    assert alone.high - alone.low > 0.05


@settings(max_examples=10, deadline=None)
@given(SCORES)
def test_a_difference_to_oneself_is_nothing(values):
    assert paired_difference(values, values) == Estimate(0.0, 0.0, 0.0, len(values))


def test_unequal_lengths_cannot_be_paired():
    with pytest.raises(ValueError, match="paired"):
        paired_difference([1.0], [1.0, 2.0])
