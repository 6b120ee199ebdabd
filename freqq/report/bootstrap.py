"""The bootstrap: which values a resample draws, and the BCa interval of what was computed from resamples.

The resamples are those that `scipy.stats.bootstrap` draws with the same seed, and the interval is the one that it would
compute (the tests hold them together). It is written anew because a report needs thousands of intervals of the same few
resamples: how often a resample drew each value is a matrix, and the means of any number of columns are one product.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 9999
SEED = 0
BATCH = 1000
"""Resamples that are drawn at once; as a part of the order of random numbers it is a part of the result."""

PRODUCT = 1 << 16
"""Counts of resamples that are multiplied at once: so few that they stay in a processor's cache."""

TIE = 1e-12
"""Statistics that differ by no more than rounding are equal; a fraction of their size or of 1."""


@lru_cache(maxsize=16)
def draws(n: int, seed: int = SEED) -> NDArray[np.uint8]:
    """How often each of `RESAMPLES` resamples holds each of n values: uint8 [RESAMPLES, n], rows sum to n."""
    rng = np.random.default_rng(seed)
    counts = np.empty((RESAMPLES, n), np.uint8)
    for start in range(0, RESAMPLES, BATCH):
        size = min(BATCH, RESAMPLES - start)
        drawn = rng.integers(0, n, (size, n)) + np.arange(size)[:, None] * n
        counts[start : start + size] = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
    counts.flags.writeable = False
    return counts


def resampled_means(columns: Floats, seed: int = SEED) -> Floats:
    """Means of each resample: float64 [n, k] -> [k, RESAMPLES]. All columns are resampled together, so stay paired."""
    counts = draws(len(columns), seed)
    means = np.empty((columns.shape[1], RESAMPLES))
    rows = max(1, PRODUCT // len(columns))
    for start in range(0, RESAMPLES, rows):
        means[:, start : start + rows] = (counts[start : start + rows].astype(np.float64) @ columns).T
    means /= len(columns)
    return means


def bca(observed: float, resampled: Floats, *left_out: Floats) -> tuple[float, float]:
    """The bias-corrected and accelerated interval (Efron 1987; Efron and Tibshirani 1993, sections 14.3 and 15.4).

    Where it is not defined (all resamples lie on one side, or no jackknife value differs), the percentile interval.

    Parameters
    ----------
    observed : float
        The statistic of the data.
    resampled : float64 [RESAMPLES]
        The statistic of each resample.
    left_out : float64 [n_j], one for each independent sample
        The statistic without each of that sample's values.
    """
    tie = TIE * max(1.0, abs(observed))
    below = np.count_nonzero(resampled < observed - tie) + np.count_nonzero(resampled <= observed + tie)
    with np.errstate(all="ignore"):
        bias = ndtri(below / (2 * len(resampled)))
        influence = [(len(v) - 1) * (v.mean() - v) for v in left_out]
        skewness = sum(np.sum(u**3) / len(u) ** 3 for u in influence)
        spread = sum(np.sum(u**2) / len(u) ** 2 for u in influence)
        acceleration = skewness / (6 * spread**1.5)
        tail = ndtri((1 - CONFIDENCE) / 2)
        ends = [float(ndtr(bias + (bias + z) / (1 - acceleration * (bias + z)))) for z in (tail, -tail)]
    if not np.isfinite(ends).all():
        ends = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    return _quantiles(resampled, ends[0], ends[1])


def _quantiles(values: Floats, *fractions: float) -> tuple[float, float]:
    """`numpy.quantile` of two fractions, without its overhead, which was the most of an interval's time."""
    last = len(values) - 1
    low, high = (min(int(fraction * last), last - 1) for fraction in fractions)
    parted = np.partition(values, (low, low + 1, high, high + 1))
    ends = ((parted[i], parted[i + 1], f * last - i) for i, f in zip((low, high), fractions, strict=True))
    low_end, high_end = (float(a + (b - a) * weight) for a, b, weight in ends)
    return low_end, high_end
