"""Means with confidence intervals, paired differences, ratios, means of strata.

Every interval is a bootstrap interval of 95 %, bias-corrected and accelerated (`freqq.report.bootstrap`), which keeps
its coverage for the skewed scores near 0 and 1 that a symmetric interval would push out of range. The same values in
the same order always give the same interval.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import isnan, nan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from freqq.report.bootstrap import SEED, TIE, bca, resampled_means

Floats = NDArray[np.float64]


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


@dataclass(frozen=True)
class Resampled:
    """A statistic of n samples, of each resample of them, and without each sample in turn.

    Those of the same samples, resampled by one call of `resample`, are paired: they can be subtracted and divided.

    Parameters
    ----------
    resamples : float64 [RESAMPLES]
    left_out : float64 [n_j], for each independent sample of two values or more
    """

    value: float
    resamples: Floats
    left_out: tuple[Floats, ...]
    n: int

    @cached_property
    def estimate(self) -> Estimate:
        """With its interval: of no width if all resamples are equal, open if there are none or some are undefined."""
        if not self.left_out or not np.isfinite(self.resamples).all():
            return Estimate(self.value, nan, nan, self.n)
        if np.ptp(self.resamples) <= TIE * max(1.0, abs(self.value)):
            return Estimate(self.value, self.value, self.value, self.n)
        return Estimate(self.value, *bca(self.value, self.resamples, *self.left_out), self.n)

    def __sub__(self, other: "Resampled") -> "Resampled":
        left_out = tuple(a - b for a, b in zip(self.left_out, other.left_out, strict=True))
        return Resampled(self.value - other.value, self.resamples - other.resamples, left_out, self.n)

    def __truediv__(self, other: "Resampled") -> "Resampled":
        """The ratio; nan or infinite where the other is 0."""
        with np.errstate(all="ignore"):
            left_out = tuple(a / b for a, b in zip(self.left_out, other.left_out, strict=True))
            value = float(np.divide(self.value, other.value))
            return Resampled(value, self.resamples / other.resamples, left_out, self.n)


def resample_all(samples: Sequence[Floats]) -> list[Resampled]:
    """The mean of each of some samples. Those of the same number of values share their resamples, and one product."""
    found: dict[int, Resampled] = {}
    for size in {len(values) for values in samples}:
        alike = [i for i, values in enumerate(samples) if len(values) == size]
        found |= zip(alike, resample(np.column_stack([samples[i] for i in alike])), strict=True)
    return [found[i] for i in range(len(samples))]


def resample(columns: Floats, seed: int = SEED) -> list[Resampled]:
    """The mean of each column of [n, k], all by the same resamples."""
    n = len(columns)
    if n < 2:
        means = [float(v) for v in columns[0]] if n else [nan] * columns.shape[1]
        return [Resampled(mean, np.array([mean]), (), n) for mean in means]
    means = columns.mean(axis=0).tolist()
    left_out = ((columns.sum(axis=0) - columns) / (n - 1)).T
    found = zip(means, resampled_means(columns, seed), left_out, strict=True)
    return [Resampled(mean, resamples, (without,), n) for mean, resamples, without in found]


def macro(strata: Sequence[Resampled]) -> Resampled:
    """The mean of the means of strata, such as bins of context length: each counts the same however many values it has.

    Strata are resampled independently of each other: as all use the same draws, the resamples of the second are taken
    from the next place on, those of the third from the one after. A stratum with a single value adds nothing to the
    interval's width; empty ones are left out.
    """
    filled = [s for s in strata if s.n]
    count, n = len(filled), sum(s.n for s in filled)
    if count < 2:
        return filled[0] if filled else Resampled(nan, np.array([nan]), (), 0)
    value = sum(s.value for s in filled) / count
    resamples = np.mean(np.broadcast_arrays(*(np.roll(s.resamples, -i) for i, s in enumerate(filled))), axis=0)
    left_out = tuple(value + (without - s.value) / count for s in filled for without in s.left_out)
    return Resampled(value, resamples, left_out, n)


def mean_estimate(values: ArrayLike, seed: int = SEED) -> Estimate:
    """The mean of independent values with its interval. Values that are all equal give an interval of no width.

    Parameters
    ----------
    values : [n] numbers
    seed : int
        Of the resampling.
    """
    return resample(np.asarray(values, np.float64).reshape(-1, 1), seed)[0].estimate


def paired_difference(values: Sequence[float], baseline: Sequence[float], seed: int = SEED) -> Estimate:
    """The mean of ``values[i] - baseline[i]`` with its interval.

    Both were measured on the same samples, so what makes a sample hard cancels; the interval is far narrower than that
    of two independent means. It holds also where few samples changed: see `cautious`.

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    if len(values) != len(baseline):
        raise ValueError(f"{len(values)} values cannot be paired with {len(baseline)}")
    differences = np.asarray(values, np.float64) - np.asarray(baseline, np.float64)
    return cautious(mean_estimate(differences, seed), differences, seed)


FEW = 40
"""Changed samples below which BCa is too narrow: with 4 of 100 it holds the true mean in three of four cases."""


def cautious(estimate: Estimate, differences: Floats, seed: int = SEED) -> Estimate:
    """An estimate of the mean of paired differences, with an interval that holds where few of them are not 0.

    Compression that is mild changes few answers, and no resample of these can show what others would have done. So one
    gain and one loss, each of the size of the largest change, are added before resampling, as is usual for paired
    proportions (Agresti and Min, Stat. Med. 24:729-740, 2005, add half of each); the interval is that of both together.
    `tests/report/test_coverage.py` shows what it mends. With `FEW` changes or more, and with none, of which no size is
    known, the estimate stays as it is.

    The added gain may take the interval beyond 0 where all of a few samples fell, and the sign-flip test is sure of a
    loss. So the interval only says how large a difference is, not whether there is one: see
    `freqq.report.comparison.Comparison.verdict`.

    Parameters
    ----------
    estimate : Estimate
        The mean of the differences.
    differences : float64 [n]
    """
    return cautious_all([estimate], [differences], seed)[0]


def cautious_all(estimates: Sequence[Estimate], differences: Sequence[Floats], seed: int = SEED) -> list[Estimate]:
    """`cautious` for several; those of the same number of samples share one product."""
    found = list(estimates)
    few = [i for i, d in enumerate(differences) if len(d) > 1 and 0 < np.count_nonzero(d) < FEW]
    for size in {len(differences[i]) for i in few}:
        alike = [i for i in few if len(differences[i]) == size]
        largest = [float(np.abs(differences[i]).max()) for i in alike]
        columns = [np.append(differences[i], [most, -most]) for i, most in zip(alike, largest, strict=True)]
        for i, wider in zip(alike, resample(np.column_stack(columns), seed), strict=True):
            ends = wider.estimate
            found[i] = replace(found[i], low=min(found[i].low, ends.low), high=max(found[i].high, ends.high))
    return found
