"""Resamples and intervals are those of scipy."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from freqq.report.bootstrap import BATCH, RESAMPLES, bca, draws, resampled_means
from freqq.report.statistics import macro, mean_estimate, resample
from tests.report.made_runs import scores


def of_scipy(data, statistic, seed=0, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        return stats.bootstrap(
            data,
            statistic,
            n_resamples=RESAMPLES,
            batch=BATCH,
            method="BCa",
            rng=np.random.default_rng(seed),
            **options,
        )


def made(n, seed=0):
    """Scores whose sums have no rounding: whether a resampled mean equals the observed one is then no accident."""
    return np.round(scores(np.random.default_rng(seed), n) * 1024) / 1024


@pytest.mark.parametrize(("n", "seed"), [(2, 0), (3, 1), (10, 0), (100, 0), (100, 5), (252, 0)])
def test_resamples_and_the_interval_of_a_mean_are_those_of_scipy(n, seed):
    values = made(n)
    theirs = of_scipy((values,), np.mean, seed)
    ours = resampled_means(values[:, None], seed)[0]
    np.testing.assert_allclose(ours, theirs.bootstrap_distribution, rtol=0, atol=1e-14)
    found = mean_estimate(values, seed)
    low, high = theirs.confidence_interval
    if np.isfinite(low):
        assert (found.low, found.high) == pytest.approx((low, high), rel=0, abs=1e-13)


@settings(max_examples=20)
@given(st.lists(st.integers(-64, 64), min_size=3, max_size=40).filter(lambda v: len(set(v)) > 1))
def test_where_sums_are_exact_the_interval_is_that_of_scipy_to_the_last_digits(values):
    sample = np.array(values) / 64
    low, high = of_scipy((sample,), np.mean).confidence_interval
    found = mean_estimate(sample)
    if np.isfinite(low) and np.isfinite(high):
        assert (found.low, found.high) == pytest.approx((low, high), rel=0, abs=1e-13)


def test_the_interval_of_a_ratio_is_that_of_scipy():
    plain, method = made(80, 1), made(80, 2)
    theirs = of_scipy((method, plain), lambda a, b, axis: a.mean(axis) / b.mean(axis), paired=True, axis=0)
    own, baseline = resample(np.column_stack([method, plain]))
    found = (own / baseline).estimate
    assert found.mean == pytest.approx(method.mean() / plain.mean())
    assert (found.low, found.high) == pytest.approx(theirs.confidence_interval, rel=0, abs=1e-12)


def test_the_interval_of_strata_is_what_scipy_makes_of_the_same_resamples():
    strata = [made(n, n) for n in (20, 35, 60)]

    def mean_of_means(*samples, axis):
        return sum(s.mean(axis) for s in samples) / len(samples)

    ours = macro([resample(s[:, None])[0] for s in strata])
    given = stats.bootstrap(strata, mean_of_means, n_resamples=2, rng=0, method="percentile")
    given.bootstrap_distribution = ours.resamples
    theirs = stats.bootstrap(strata, mean_of_means, n_resamples=0, bootstrap_result=given, method="BCa", rng=0)
    found = ours.estimate
    assert (found.low, found.high) == pytest.approx(theirs.confidence_interval, rel=0, abs=1e-12)


def test_strata_are_resampled_independently_of_each_other():
    """The variance of the mean over strata is that of independent means, not that of equal ones."""
    values = made(40)
    one = resample(values[:, None])[0]
    assert macro([one, one]).resamples.std() == pytest.approx(one.resamples.std() / np.sqrt(2), rel=0.03)


@pytest.mark.parametrize("n", [2, 40, 300])
def test_every_resample_has_as_many_values_as_there_are(n):
    counts = draws(n)
    assert counts.shape == (RESAMPLES, n)
    assert (counts.sum(axis=1) == n).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.06)
    with pytest.raises(ValueError, match="read-only"):
        counts[0, 0] = 1


def test_where_bca_is_not_defined_the_percentile_interval_stands_in():
    resamples = np.linspace(1, 2, RESAMPLES)
    assert bca(3.0, resamples, np.array([1.0, 2.0])) == pytest.approx((1.025, 1.975), abs=1e-3)
