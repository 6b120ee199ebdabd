"""Means with confidence intervals, and paired differences. Pure functions of numbers."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 9999


@dataclass(frozen=True)
class Estimate:
    """A mean and the ends of its confidence interval, which are nan where fewer than two values leave it open."""

    mean: float
    low: float
    high: float
    n: int


def mean_estimate(values: ArrayLike, seed: int = 0) -> Estimate:
    """The mean of independent values with its 95 % bootstrap interval.

    Bias-corrected and accelerated (Efron 1987), which keeps its coverage for the skewed scores near 0 and 1 that a
    symmetric interval would push out of range. Values that are all equal give an interval of no width; where BCa is not
    defined otherwise, the percentile interval stands in.

    Parameters
    ----------
    values : [n] numbers
    seed : int
        Of the resampling: the same values always give the same interval.
    """
    sample: NDArray[np.float64] = np.asarray(values, np.float64)
    n = sample.size
    if n == 0:
        return Estimate(nan, nan, nan, 0)
    mean = float(sample.mean())
    if n == 1:
        return Estimate(mean, nan, nan, 1)
    if np.ptp(sample) == 0:
        return Estimate(mean, mean, mean, n)
    low, high = _interval(sample, "BCa", seed)
    if not (np.isfinite(low) and np.isfinite(high)):
        low, high = _interval(sample, "percentile", seed)
    return Estimate(mean, low, high, n)


def _interval(sample: NDArray[np.float64], method: str, seed: int) -> tuple[float, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (sample,),
            np.mean,
            n_resamples=RESAMPLES,
            batch=1000,
            confidence_level=CONFIDENCE,
            method=method,
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return float(found.low), float(found.high)


def paired_difference(values: Sequence[float], baseline: Sequence[float], seed: int = 0) -> Estimate:
    """The mean of ``values[i] - baseline[i]`` with its 95 % bootstrap interval.

    Both were measured on the same samples, so what makes a sample hard cancels; the interval is far narrower than that
    of two independent means.

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    if len(values) != len(baseline):
        raise ValueError(f"{len(values)} values cannot be paired with {len(baseline)}")
    return mean_estimate(np.asarray(values, np.float64) - np.asarray(baseline, np.float64), seed)
