"""Intervals, p-values, their correction, and power."""

import math

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy import stats

from freqq.report import statistics
from freqq.report.statistics import (
    DRAWS,
    ERROR,
    PRIOR,
    TAIL,
    Distribution,
    _tail,
    detectable,
    differences,
    holm,
    mean_estimate,
    means,
    ratio,
    reach,
    spread,
    stratified,
    weights,
)  # fmt: skip

SCORES = st.lists(st.floats(0, 1), min_size=2, max_size=30)
CHANGES = st.lists(st.sampled_from([-1, -0.6, -0.25, 0, 0, 0, 0.1, 0.4]), min_size=2, max_size=40)
P_VALUES = st.lists(st.floats(0, 1), max_size=30)


def difference(values) -> Distribution:
    return differences([np.array(values, float)])[0]


@settings(max_examples=60)
@given(CHANGES)
def test_the_interval_excludes_0_exactly_where_p_is_below_5_percent(values):
    found = difference(values)
    excludes = found.estimate.low > 0 or found.estimate.high < 0
    assert excludes == (found.p_value < ERROR)


@pytest.mark.parametrize("beyond", range(TAIL - 4, TAIL + 5))
def test_so_it_is_to_the_very_draw(beyond):
    draws = np.concatenate([np.linspace(-2, -1, beyond), np.linspace(1, 9, DRAWS - beyond)])
    found = Distribution(5.0, np.random.default_rng(0).permutation(draws), 20, (-9.0, 9.0))
    assert (found.estimate.low > 0) == (found.p_value < ERROR) == (beyond < TAIL)


@settings(max_examples=40)
@given(CHANGES, st.integers(0, 60))
def test_turning_differences_round_turns_all_round(values, zeros):
    assume(sum(values) != 0)
    one, other = difference(values + [0] * zeros), difference([-v for v in values] + [0] * zeros)
    assert one.p_value == other.p_value
    assert (one.estimate.low, one.estimate.high) == pytest.approx((-other.estimate.high, -other.estimate.low))


@settings(max_examples=30)
@given(SCORES)
def test_the_mean_lies_in_its_interval_and_the_interval_among_possible_scores(values):
    found = mean_estimate(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert 0 <= found.low <= found.mean <= found.high <= 1


def test_too_few_values_leave_the_interval_open():
    assert mean_estimate([0.5]).mean == 0.5
    assert math.isnan(mean_estimate([0.5]).low)
    assert math.isnan(mean_estimate([]).mean)
    assert difference([0.5]).p_value == 1.0


@pytest.mark.parametrize("shift", [0.0, -0.02, -0.03, -0.06])
def test_of_many_normal_differences_all_is_as_in_the_t_test(shift):
    values = np.random.default_rng(1).normal(shift, 0.1, 200)
    theirs = stats.ttest_1samp(values, 0)
    found, ends = difference(values), theirs.confidence_interval(0.95)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((ends.low, ends.high), abs=0.002)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=0.2, abs=0.01)


@pytest.mark.parametrize(
    ("changed", "n", "sure"), [(8, 10, True), (8, 8, True), (5, 5, False), (3, 100, False), (8, 100, True)]
)
def test_losses_alone_are_no_chance_from_six_or_so_on(changed, n, sure):
    values = np.zeros(n)
    values[:changed] = -np.linspace(0.3, 0.9, changed)
    found = difference(values)
    assert (found.p_value < ERROR) == (found.estimate.high < 0) == sure


def test_where_nothing_changed_the_interval_says_what_a_few_samples_cannot():
    for n in (2, 10, 59, 400):
        found = difference([0.0] * n)
        assert (found.p_value, found.estimate.mean) == (1.0, 0)
        most = 1 - 0.05 ** (1 / n)
        assert (found.estimate.low, found.estimate.high) == pytest.approx((-most, most), rel=5e-3)


def test_pairing_takes_out_what_makes_samples_hard():
    rng = np.random.default_rng(3)
    baseline = rng.random(100)
    method = (baseline - 0.02 + rng.normal(0, 0.01, 100)).clip(0, 1)
    paired = difference(method - baseline).estimate
    assert paired.high < 0
    assert paired.high - paired.low < 0.01 < 0.05 < np.ptp([(a := mean_estimate(method)).low, a.high])


@settings(max_examples=40)
@given(CHANGES)
def test_imagined_changes_are_no_smaller_than_the_largest_and_never_beyond_what_scores_allow(values):
    found = reach(np.array(values, float))
    assert max(np.abs(values)) <= found <= 1
    mixed = reach(np.array([*values, *(-v for v in values)], float))
    assert mixed == (pytest.approx(max(np.abs(values))) if any(values) else 1)


def test_the_tail_agrees_with_the_draws_and_goes_on_where_they_end():
    noise = np.random.default_rng(5).normal(0, 0.1, 100)
    for shift in (-0.02, -0.028):
        found = difference(noise - noise.mean() + shift)
        beyond = 2 * np.mean(found.draws >= 0)
        assert found.tail() == pytest.approx(beyond, rel=0.25)
    found = [difference(np.where(np.arange(60) < 50 + k, -0.2, 0.2)).p_value for k in range(10)]
    assert found == sorted(found, reverse=True)
    assert 0 < found[-1] < 1e-9


def test_the_tail_does_not_depend_on_the_sign():
    values = np.append(np.random.default_rng(6).normal(-0.1, 0.1, 50), [-1, 1])
    assert _tail(values, -0.1, spread(50)) == pytest.approx(_tail(-values, 0.1, spread(50)), rel=1e-6)


def test_samples_that_are_weighted_together_are_as_if_alone():
    rng = np.random.default_rng(5)
    samples = [rng.random(n) for n in (30, 7, 30, 1, 0, 7)]
    for values, found in zip(samples, means(samples), strict=True):
        alone = mean_estimate(values)
        assert (found.estimate.low, found.estimate.high) == pytest.approx(
            (alone.low, alone.high), nan_ok=True, rel=1e-9
        )


def test_strata_count_the_same_however_large_and_add_no_spread_of_their_own():
    values, strata = np.repeat([0.0, 1.0], [90, 10]), np.repeat(["a", "b"], [90, 10]).astype(object)
    assert stratified(values, strata).tolist() == [0.5] * 100
    rng = np.random.default_rng(7)
    values, strata = rng.random(100), np.repeat(["a", "b", "c"], [70, 20, 10]).astype(object)
    by_hand = np.mean([values[strata == s].mean() for s in "abc"])
    deviation = math.sqrt(sum(values[strata == s].var() / (strata == s).sum() for s in "abc")) / 3
    found = stratified(values, strata)
    assert found.mean() == pytest.approx(by_hand)
    assert found.std() / 10 == pytest.approx(deviation)


@settings(max_examples=25)
@given(CHANGES)
def test_retention_excludes_1_exactly_where_the_difference_excludes_0(values):
    baseline = np.full(len(values), 0.7)
    change, base = difference(values), means([baseline])[0]
    found = ratio(change, base)
    assert found.mean == pytest.approx(1 + np.mean(values) / 0.7)
    assert (found.high < 1) == (change.estimate.high < 0)
    assert (found.low > 1) == (change.estimate.low > 0)
    assert ratio(change, means([np.zeros(len(values))])[0]) is None


SPARSE = st.lists(st.tuples(*[st.sampled_from([0, 0, 0, 0.1, 0.3, 1.0])] * 2), min_size=2, max_size=20)


@settings(max_examples=40)
@given(SPARSE)
@example([(0.1, 0.8)] + [(0, 0.8)] * 9)
@example([(0.3, 0.5), (0, 0.4), (0, 0.45), (0, 0.3), (0, 0.4)])
def test_so_it_does_of_a_baseline_near_0(pairs):
    """Some draws of such a baseline are below 0, where a quotient would have the sign of the other side."""
    baseline, own = np.array(pairs, float).T
    assume(baseline.any())
    change = difference(own - baseline)
    found = ratio(change, means([baseline])[0])
    assert (found.high < 1) == (change.estimate.high < 0)
    assert (found.low > 1) == (change.estimate.low > 0)
    assert 0 <= found.low <= found.mean <= found.high < math.inf


def test_kept_weights_fill_no_more_than_they_may_and_are_drawn_alike_again(monkeypatch):
    monkeypatch.setattr(statistics, "KEPT", 4 << 20)
    monkeypatch.setattr(statistics, "_kept", {})
    before = weights(9).copy()
    for n in (3, 30, 9, 60, 3, 20, 9, 30):
        assert weights(n).shape == (DRAWS, n + 2)
        kept = sum(own.nbytes for own in statistics._kept.values())
        assert n in statistics._kept
        assert kept <= 4 << 20 or len(statistics._kept) == 1
    assert np.array_equal(weights(9), before)


def test_weights_are_those_of_one_draw():
    n = 40
    rng = np.random.default_rng(0)
    whole = np.hstack([rng.standard_exponential((DRAWS, n)), rng.standard_gamma(PRIOR, (DRAWS, 2))])
    assert np.array_equal(weights(n), whole / whole.sum(1, keepdims=True))


def test_holms_example():
    """Of four tests at 5 %, as in Holm's procedure: .01 x 4, .02 x 3, then never less than the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.6]) == [1.0, 1.0]


@given(P_VALUES, st.randoms())
def test_holm_keeps_the_order_and_is_never_below_the_raw(values, chance):
    corrected = holm(values)
    assert all(p <= c <= 1 for p, c in zip(values, corrected, strict=True))
    by_raw = [corrected[i] for i in sorted(range(len(values)), key=lambda i: values[i])]
    assert by_raw == sorted(by_raw)
    order = list(range(len(values)))
    chance.shuffle(order)
    shuffled = holm([values[i] for i in order])
    assert [shuffled[order.index(i)] for i in range(len(values))] == corrected


def test_detectable_is_the_size_with_the_power_of_four_fifths():
    """Drawn again and again with a true difference of that size, the t-test finds it in 80 % of cases."""
    rng = np.random.default_rng(4)
    size = detectable(np.tile([-1.0, 1.0], 25)) / np.tile([-1.0, 1.0], 25).std(ddof=1)
    drawn = rng.normal(size, 1, (4000, 50))
    assert (stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.025)


@pytest.mark.parametrize("values", [[], [0.5], [0.0, 0.0], [0.2, 0.2, 0.2]])
def test_nothing_is_said_of_power_where_the_spread_is_unknown(values):
    assert detectable(values) is None
