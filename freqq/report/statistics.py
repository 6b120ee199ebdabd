"""Means with confidence intervals, paired differences, ratios. Pure functions of numbers.

Every interval is a bootstrap interval of 95 %, bias-corrected and accelerated (`freqq.report.bootstrap`), which keeps
its coverage for the skewed scores near 0 and 1 that a symmetric interval would push out of range. The same values in
the same order always give the same interval.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isnan, nan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from freqq.report.bootstrap import bca, left_out_means, resampled_means


@dataclass(frozen=True)
class Estimate:
    """A mean and the ends of its confidence interval, which are nan where fewer than two values leave it open."""

    mean: float
    low: float
    high: float
    n: int

    def as_json(self) -> dict[str, Any]:
        """Its fields; None for nan."""
        return {k: None if isinstance(v, float) and isnan(v) else v for k, v in asdict(self).items()}


def mean_estimate(values: ArrayLike, seed: int = 0) -> Estimate:
    """The mean of independent values with its interval. Values that are all equal give an interval of no width.

    Parameters
    ----------
    values : [n] numbers
    seed : int
        Of the resampling.
    """
    return mean_estimates(np.asarray(values, np.float64).reshape(-1, 1), seed)[0]


def mean_estimates(columns: NDArray[np.float64], seed: int = 0) -> list[Estimate]:
    """`mean_estimate` of each column of [n, k], by the same resamples."""
    n = len(columns)
    if n == 0:
        return [Estimate(nan, nan, nan, 0)] * columns.shape[1]
    means = columns.mean(axis=0)
    if n == 1:
        return [Estimate(float(mean), nan, nan, 1) for mean in means]
    resampled, left_out = resampled_means(columns, seed), left_out_means(columns)
    return [
        Estimate(float(means[i]), *_interval(columns[:, i], float(means[i]), resampled[:, i], left_out[:, i]), n)
        for i in range(columns.shape[1])
    ]


def _interval(
    values: NDArray[np.float64], mean: float, resampled: NDArray[np.float64], left_out: NDArray[np.float64]
) -> tuple[float, float]:
    return (mean, mean) if np.ptp(values) == 0 else bca(mean, resampled, left_out)


def paired_difference(values: Sequence[float], baseline: Sequence[float], seed: int = 0) -> Estimate:
    """The mean of ``values[i] - baseline[i]`` with its interval.

    Both were measured on the same samples, so what makes a sample hard cancels; the interval is far narrower than that
    of two independent means.

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    _check_paired(values, baseline)
    return mean_estimate(np.asarray(values, np.float64) - np.asarray(baseline, np.float64), seed)


def ratio_estimate(values: Sequence[float], baseline: Sequence[float], seed: int = 0) -> Estimate:
    """The ratio of the means, ``mean(values) / mean(baseline)``, with its interval; pairs are resampled together.

    It is nan where the baseline's mean is 0, and its interval is open where that of some resample is.

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    _check_paired(values, baseline)
    pairs = np.array([values, baseline], np.float64).T
    n = len(pairs)
    if n == 0 or pairs[:, 1].sum() == 0:
        return Estimate(nan, nan, nan, n)
    above, below = pairs.mean(axis=0)
    ratio = float(above / below)
    if n == 1:
        return Estimate(ratio, nan, nan, 1)
    if np.array_equal(pairs[:, 0], pairs[:, 1]):
        return Estimate(1.0, 1.0, 1.0, n)
    with np.errstate(all="ignore"):
        resampled, left_out = (m[:, 0] / m[:, 1] for m in (resampled_means(pairs, seed), left_out_means(pairs)))
    if not np.isfinite(resampled).all():
        return Estimate(ratio, nan, nan, n)
    if np.ptp(resampled) <= 1e-12 * abs(ratio):
        return Estimate(ratio, ratio, ratio, n)
    return Estimate(ratio, *bca(ratio, resampled, left_out), n)


def macro_estimate(strata: Sequence[ArrayLike], seed: int = 0) -> Estimate:
    """The mean of the means of strata, such as bins of context length, each resampled by itself.

    Every stratum counts the same however many values it has. An empty one is left out; one with a single value adds
    nothing to the interval's width; where all are single, the interval is open.

    Parameters
    ----------
    strata : sequence of [n_j] numbers
    seed : int
        Of the first stratum's resampling; the next has the next.
    """
    filled = [v for values in strata if (v := np.asarray(values, np.float64)).size]
    n = sum(v.size for v in filled)
    if not filled:
        return Estimate(nan, nan, nan, 0)
    means = [float(v.mean()) for v in filled]
    mean = sum(means) / len(filled)
    if all(v.size == 1 for v in filled):
        return Estimate(mean, nan, nan, n)
    if all(np.ptp(v) == 0 for v in filled):
        return Estimate(mean, mean, mean, n)
    resampled = np.mean([resampled_means(v[:, None], seed + i)[:, 0] for i, v in enumerate(filled)], axis=0)
    left_out = [
        mean + (left_out_means(v) - own) / len(filled) for v, own in zip(filled, means, strict=True) if v.size > 1
    ]
    return Estimate(mean, *bca(mean, resampled, *left_out), n)


def _check_paired(values: Sequence[float], baseline: Sequence[float]) -> None:
    if len(values) != len(baseline):
        raise ValueError(f"{len(values)} values cannot be paired with {len(baseline)}")
