"""Means, intervals, paired differences."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from freqq.report.statistics import (
    Estimate,
    cautious,
    macro,
    mean_estimate,
    paired_difference,
    resample,
    resample_all,
)

SCORES = st.lists(st.floats(0, 1), min_size=2, max_size=30)


@settings(max_examples=25)
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


def test_pairing_takes_out_what_makes_samples_hard():
    rng = np.random.default_rng(3)
    baseline = rng.random(100)
    method = baseline - 0.02 + rng.normal(0, 0.01, 100)
    paired = paired_difference(list(method), list(baseline))
    assert paired.high < 0
    assert paired.high - paired.low < 0.01
    alone = mean_estimate(method)
    assert alone.high - alone.low > 0.05


@settings(max_examples=10)
@given(SCORES)
def test_a_difference_to_oneself_is_nothing(values):
    assert paired_difference(values, values) == Estimate(0.0, 0.0, 0.0, len(values))


def test_unequal_lengths_cannot_be_paired():
    with pytest.raises(ValueError, match="paired"):
        paired_difference([1.0], [1.0, 2.0])


@settings(max_examples=20)
@given(SCORES, st.floats(-1, 1))
def test_adding_a_constant_shifts_the_interval_by_it(values, constant):
    before, after = mean_estimate(values), mean_estimate(np.array(values) + constant)
    assert (after.mean, after.low, after.high) == pytest.approx(
        (before.mean + constant, before.low + constant, before.high + constant), abs=1e-6
    )


@settings(max_examples=10)
@given(SCORES)
def test_a_ratio_and_a_difference_to_oneself_are_known_exactly(values):
    own, other = resample(np.column_stack([np.array(values) + 0.1] * 2))
    assert (own - other).estimate == Estimate(0.0, 0.0, 0.0, len(values))
    assert (own / other).estimate == Estimate(1.0, 1.0, 1.0, len(values))


def test_samples_that_are_resampled_together_are_as_if_alone():
    rng = np.random.default_rng(5)
    samples = [rng.random(n) for n in (30, 7, 30, 1, 0, 7)]
    together = [r.estimate for r in resample_all(samples)]
    for values, found in zip(samples, together, strict=True):
        alone = mean_estimate(values)
        assert (found.mean, found.low, found.high) == pytest.approx((alone.mean, alone.low, alone.high), nan_ok=True)
        assert found.n == len(values)


def test_a_ratio_by_hand():
    """Retention .5 of every sample is .5, whatever the samples."""
    plain = np.random.default_rng(6).random(30)
    own, other = resample(np.column_stack([plain / 2, plain]))
    found = (own / other).estimate
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_a_ratio_to_nothing_is_undefined_and_one_to_nearly_nothing_has_no_interval():
    nothing = np.zeros(10)
    once = nothing.copy()
    once[3] = 1.0
    own, none, rare = resample(np.column_stack([np.ones(10), nothing, once]))
    assert math.isinf((own / none).estimate.mean)
    assert (own / rare).estimate.mean == pytest.approx(10)
    assert math.isnan((own / rare).estimate.low)


def test_strata_count_the_same_however_large():
    large, small = np.zeros(90), np.ones(10)
    found = macro(resample_all([large, small, np.zeros(0)]))
    assert found.estimate == Estimate(0.5, 0.5, 0.5, 100)
    assert mean_estimate(np.concatenate([large, small])).mean == pytest.approx(0.1)


def test_a_single_stratum_is_the_mean():
    values = np.random.default_rng(7).random(20)
    assert macro(resample_all([values])).estimate == mean_estimate(values)


def test_strata_of_single_values_have_no_interval_of_their_own():
    alone = macro(resample_all([np.array([0.2]), np.array([0.6])])).estimate
    assert alone.mean == pytest.approx(0.4)
    assert math.isnan(alone.low)
    mixed = macro(resample_all([np.array([0.2]), np.random.default_rng(8).random(30)])).estimate
    assert mixed.low < mixed.mean < mixed.high


@settings(max_examples=20)
@given(st.lists(st.integers(-64, 64), min_size=3, max_size=30))
def test_caution_keeps_the_mean_and_never_narrows_the_interval(values):
    differences = np.array(values) / 64
    before = mean_estimate(differences)
    after = cautious(before, differences)
    assert (after.mean, after.n) == (before.mean, before.n)
    assert after.low <= before.low
    assert after.high >= before.high


def test_one_loss_of_twenty_is_no_proof_and_forty_changes_need_no_caution():
    once = np.zeros(20)
    once[4] = -0.5
    assert cautious(mean_estimate(once), once).high > 0
    many = np.random.default_rng(9).normal(0, 0.1, 40)
    assert cautious(mean_estimate(many), many) == mean_estimate(many)
