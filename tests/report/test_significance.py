"""P-values, their correction, and power."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from freqq.report.significance import EXACT, FLIPS, _all_sums, _saddlepoint_p, detectable, holm, sign_flip_p

P_VALUES = st.lists(st.floats(0, 1), max_size=30)
DIFFERENCES = st.lists(st.floats(-1, 1), min_size=1, max_size=10)


def by_hand(differences):
    """Every choice of signs, one by one."""
    observed = abs(sum(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
            for signs in product((1, -1), repeat=len(differences))]  # fmt: skip
    return sum(s >= observed - 1e-9 for s in sums) / len(sums)


@pytest.mark.parametrize(
    ("differences", "p"),
    [([], 1.0), ([0, 0, 0], 1.0), ([0.3], 1.0), ([0.1, 0.2, 0.3], 2 / 8), ([1, 1, 1, 1, 0, 0], 2 / 16),
     ([1, 1, 1, -1], 10 / 16), ([-0.5] * 10, 2 / 1024)],
)  # fmt: skip
def test_known_cases(differences, p):
    assert sign_flip_p(differences) == pytest.approx(p)


@settings(max_examples=40)
@given(st.lists(st.integers(-20, 20), min_size=1, max_size=9))
def test_few_differences_are_tried_with_all_signs(differences):
    assert sign_flip_p(differences) == pytest.approx(by_hand(differences))


@settings(max_examples=40)
@given(DIFFERENCES, st.integers(0, 50), st.randoms())
def test_zeros_order_sign_and_scale_change_nothing(differences, zeros, chance):
    p = sign_flip_p(differences)
    other = [-3 * d for d in differences] + [0.0] * zeros
    chance.shuffle(other)
    assert 0 < p <= 1
    assert sign_flip_p(other) == pytest.approx(p)


def test_on_many_differences_it_agrees_with_the_t_test_and_with_scipys_permutations():
    rng = np.random.default_rng(0)
    for shift in (0.0, 0.15, 0.3):
        values = rng.normal(shift, 1, 100)
        p = sign_flip_p(values)
        assert p == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.02)
        theirs = stats.permutation_test(
            (values, np.zeros(100)), lambda a, b, axis: (a - b).mean(axis), vectorized=True,
            permutation_type="samples", n_resamples=FLIPS, rng=1,
        )  # fmt: skip
        assert p == pytest.approx(theirs.pvalue, abs=0.02)


@pytest.mark.parametrize("share", [0.6, 0.75, 0.9])
def test_the_approximation_of_the_tail_agrees_with_all_signs(share):
    rng = np.random.default_rng(int(100 * share))
    values = rng.random(20)
    signs = np.where(rng.random(20) < share, 1, -1)
    observed = abs(float(values @ signs))
    exact = np.mean(np.abs(_all_sums(np.sort(values))) >= observed - 1e-12)
    assert _saddlepoint_p(np.sort(values), observed) == pytest.approx(exact, rel=0.15)


def test_the_tail_is_finer_than_the_random_choices_can_tell():
    assert sign_flip_p(np.full(60, 0.1)) == pytest.approx(2.0**-59)
    values = np.concatenate([np.full(80, 0.5), np.full(10, -0.5)]) + np.random.default_rng(0).normal(0, 0.01, 90)
    assert 0 < sign_flip_p(values) < 1e-10
    # One fewer in favour of it is never less likely to be chance.
    found = [sign_flip_p(np.linspace(0.5, 1, 40) * np.where(np.arange(40) < k, -1, 1)) for k in range(20)]
    assert all(a <= b for a, b in pairwise(found))


def test_without_a_difference_p_is_uniform():
    rng = np.random.default_rng(3)
    found = [sign_flip_p(rng.normal(0, 1, EXACT + 4)) for _ in range(300)]
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_holms_example():
    """Of four tests at 5 %, as in Holm's procedure: .01 x 4, .02 x 3, then never less than the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.6]) == [1.0, 1.0]


@given(P_VALUES)
def test_holm_is_monotone_and_never_below_the_raw(values):
    corrected = holm(values)
    assert all(p <= c <= 1 for p, c in zip(values, corrected, strict=True))
    by_raw = [corrected[i] for i in sorted(range(len(values)), key=lambda i: values[i])]
    assert by_raw == sorted(by_raw)


@given(P_VALUES, st.randoms())
def test_the_order_of_tests_changes_no_correction(values, chance):
    order = list(range(len(values)))
    chance.shuffle(order)
    shuffled = holm([values[i] for i in order])
    assert [shuffled[order.index(i)] for i in range(len(values))] == holm(values)


def test_detectable_is_the_size_with_the_power_of_four_fifths():
    """Drawn again and again with a true difference of that size, the t-test finds it in 80 % of cases."""
    rng = np.random.default_rng(4)
    size = detectable(np.tile([-1.0, 1.0], 25)) / np.tile([-1.0, 1.0], 25).std(ddof=1)
    drawn = rng.normal(size, 1, (4000, 50))
    found = (stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05).mean()
    assert found == pytest.approx(0.8, abs=0.025)


@settings(max_examples=20)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=20).filter(lambda v: np.ptp(v) > 1e-3), st.integers(2, 5))
def test_detectable_shrinks_with_n_and_grows_with_the_spread(values, times):
    size = detectable(values)
    assert detectable(values * times) < size
    assert detectable([2 * v for v in values]) == pytest.approx(2 * size)
    assert detectable([v + 0.25 for v in values]) == pytest.approx(size)


@pytest.mark.parametrize("values", [[], [0.5], [0.0, 0.0], [0.2, 0.2, 0.2]])
def test_nothing_is_said_of_power_where_the_spread_is_unknown(values):
    assert detectable(values) is None
