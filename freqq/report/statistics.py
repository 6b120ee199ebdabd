"""Intervals and p-values of means and of paired differences, both from one distribution, so that they never disagree.

The distribution of the mean of n values comes from random weights (Rubin's Bayesian bootstrap, Ann. Stat. 9:130-134,
1981) of the values and of two pseudo-values, one at each end of the possible range. The interval is the middle 95 % of
the distribution, the p-value twice its part on the other side of 0: **the interval excludes 0 exactly where p < .05**.
The pseudo-values are needed because mild compression changes few answers, and reweighting these few does not show what
the others could have done. With half a pseudo-value at each end of a proportion this is Jeffreys' interval; `PRIOR`,
`UNSEEN` and Student's quantile were chosen by simulation, which ``python examples/interval_coverage.py`` repeats.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from math import exp, isnan, nan, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtri, stdtrit

Floats = NDArray[np.float64]

ERROR, POWER = 0.05, 0.8
DRAWS = 9999
SEED = 0
PRIOR = 0.4
"""The weight of each pseudo-value; that of a real value is 1."""

UNSEEN = 2.2
"""How much larger than the largest of k changes an unseen one may be if all have one sign, as a factor of it / √k."""

TAIL = round((DRAWS + 1) * ERROR / 2) - 1
"""p is below .05 if fewer draws than this are on the other side of 0; hence also the rank of an interval's ends."""

FEW = 10
"""With fewer draws on the other side of 0, p comes from an approximation of the tail instead of their number."""

PRODUCT = 1 << 17
"""Weights per matrix product, to fit a processor's cache."""

KEPT = 1 << 29
"""Bytes of random weights that are kept to be used again."""


@dataclass(frozen=True)
class Estimate:
    """A mean and the ends of its confidence interval, which are nan for fewer than two values."""

    mean: float
    low: float
    high: float
    n: int

    def as_json(self) -> dict[str, Any]:
        """Its fields; None for nan."""
        return {k: None if isinstance(v, float) and isnan(v) else v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class Distribution:
    """The mean of n values with its distribution.

    Distributions over the same samples use the same random weights, so they stay paired.

    Parameters
    ----------
    draws : float64 [DRAWS], empty for fewer than two values
    bounds : (float, float)
        Possible range of the mean.
    tail : function
        The p-value if too few draws are on the other side of 0.
    """

    mean: float
    draws: Floats
    n: int
    bounds: tuple[float, float]
    tail: Callable[[], float] = lambda: 1.0

    @cached_property
    def estimate(self) -> Estimate:
        """The mean with its interval."""
        if not len(self.draws):
            return Estimate(self.mean, nan, nan, self.n)
        # One rank at a time, which numpy selects several times faster than two together. Rounded, because the last
        # digits of a matrix product depend on its number of columns.
        ends = (float(f"{np.partition(self.draws, i)[i]:.11g}") for i in (TAIL - 1, DRAWS - TAIL))
        low, high = (min(max(end, self.bounds[0]), self.bounds[1]) for end in ends)
        return Estimate(self.mean, min(low, self.mean), max(high, self.mean), self.n)

    @cached_property
    def p_value(self) -> float:
        """Two-sided p-value of a mean of 0; 1 for fewer than two values."""
        if not len(self.draws):
            return 1.0
        beyond = min(int(np.count_nonzero(self.draws <= 0)), int(np.count_nonzero(self.draws >= 0)))
        p = min(1.0, 2 * (1 + beyond) / (1 + DRAWS))
        return p if beyond >= FEW else min(p, self.tail())


_kept: dict[int, Floats] = {}


def weights(n: int) -> Floats:
    """Random weights of n values and of the two pseudo-values, each row summing to 1: float64 [DRAWS, n + 2].

    Those used last are kept, as many as fit in `KEPT` bytes, or else the last alone: of 5,000 values it has 400 MB.
    """
    if n in _kept:
        _kept[n] = _kept.pop(n)
        return _kept[n]
    while _kept and sum(own.nbytes for own in _kept.values()) + 8 * DRAWS * (n + 2) > KEPT:
        del _kept[next(iter(_kept))]
    rng = np.random.default_rng(SEED)
    found = np.empty((DRAWS, n + 2))
    rows = max(1, PRODUCT // (n + 2))
    for start in range(0, DRAWS, rows):
        part = found[start : start + rows, :n]
        part[:] = rng.standard_exponential(part.shape)
    found[:, n:] = rng.standard_gamma(PRIOR, (DRAWS, 2))
    found /= found.sum(1, keepdims=True)
    found.flags.writeable = False
    _kept[n] = found
    return found


def means(samples: Sequence[Floats]) -> list[Distribution]:
    """The distributions of the means of samples of scores in [0, 1]; the pseudo-values are 0 and 1."""
    return _distributions(samples, [(0.0, 1.0)] * len(samples), (0.0, 1.0))


def differences(samples: Sequence[Floats]) -> list[Distribution]:
    """The distributions of the means of samples of paired differences in [-1, 1]; for the pseudo-values see `reach`.

    Negating all differences negates the distribution.
    """
    signs = [-1.0 if values.sum() > 0 else 1.0 for values in samples]
    ends = [(-far, far) for far in map(reach, samples)]
    found = _distributions([v * s for v, s in zip(samples, signs, strict=True)], ends, (-1.0, 1.0))
    return [
        replace(d, mean=d.mean * s, draws=d.draws * s) if np.any(v) else _unchanged(d)
        for d, s, v in zip(found, signs, samples, strict=True)
    ]


def _unchanged(found: Distribution) -> Distribution:
    """For n differences that are all 0: the largest share of changed answers of which 5 % of such runs would show none.

    The interval ends at ``1 - 0.05 ** (1 / n)`` on both sides, as if each of these answers became completely wrong, or
    right.
    """
    if not len(found.draws):
        return found
    sizes = 1 - ((np.arange(DRAWS) + 0.5) / DRAWS) ** (1 / found.n)
    sizes[::2] *= -1
    return replace(found, draws=sizes, tail=lambda: 1.0)


def reach(values: Floats) -> float:
    """The pseudo-values of differences: the largest change, up or down, assumed for k observed changes.

    The largest of k values underestimates the largest possible, so it is enlarged by `UNSEEN`; less so the more the
    changes cancel, because then the tail is observed on both sides.
    """
    sizes = np.abs(values)
    changed = int(np.count_nonzero(sizes))
    if not changed:
        return 1.0
    one_sided = float(abs(values.sum()) / sizes.sum())
    return min(1.0, float(sizes.max()) * (1 + UNSEEN * one_sided**2 / sqrt(changed)))


def _distributions(
    samples: Sequence[Floats], ends: Sequence[tuple[float, float]], bounds: tuple[float, float]
) -> list[Distribution]:
    """Samples of equal size share their weights and one product."""
    found: dict[int, Distribution] = {}
    for n in sorted({len(values) for values in samples}):
        alike = [i for i, values in enumerate(samples) if len(values) == n]
        if n < 2:
            found |= {i: Distribution(float(samples[i][0]) if n else nan, np.empty(0), n, bounds) for i in alike}
            continue
        columns = np.column_stack([np.append(samples[i], ends[i]) for i in alike])
        wider = spread(n)
        for i, draws in zip(alike, _exact(_product(weights(n), columns), columns), strict=True):
            mean = float(samples[i].mean())
            values = np.append(samples[i], ends[i])
            found[i] = Distribution(mean, mean + wider * (draws - mean), n, bounds, partial(_tail, values, mean, wider))
    return [found[i] for i in range(len(samples))]


def spread(n: int) -> float:
    """Ratio of Student's quantile to the normal one at the interval's ends."""
    return float(stdtrit(n - 1, 1 - ERROR / 2) / ndtri(1 - ERROR / 2))


def _exact(draws: Floats, columns: Floats) -> Floats:
    """Draws [k, DRAWS] of weighted means, corrected to their exact mean and variance.

    These are known for the Dirichlet distribution; only the shape depends on the random draws.
    """
    shape = np.append(np.ones(len(columns) - 2), [PRIOR, PRIOR])
    total = shape.sum()
    mean = shape @ columns / total
    variance = (shape @ (columns - mean) ** 2 / total) / (total + 1)
    own = draws.mean(1, keepdims=True)
    scale = np.sqrt(variance)[:, None] / np.maximum(draws.std(1, keepdims=True), np.finfo(float).tiny)
    return mean[:, None] + (draws - own) * scale


def _product(matrix: Floats, columns: Floats) -> Floats:
    """The transposed product [k, rows], computed in cache-sized parts."""
    found = np.empty((columns.shape[1], len(matrix)))
    rows = max(1, PRODUCT // len(columns))
    for start in range(0, len(matrix), rows):
        found[:, start : start + rows] = (matrix[start : start + rows] @ columns).T
    return found


def _tail(values: Floats, mean: float, wider: float) -> float:
    """Two-sided p-value of a mean with hardly any draws on the other side of 0.

    The weighted mean of x exceeds m if the sum of g·(x - m) is positive, with independent gamma variables g. Its tail
    is Lugannani and Rice's saddlepoint approximation (Adv. Appl. Prob. 12:475-490, 1980), with the equation of the
    empirical likelihood (Owen, Biometrika 75:237-249, 1988).
    """
    sign = -1.0 if mean > 0 else 1.0
    x = sign * values - sign * mean * (1 - 1 / wider)
    shape = np.append(np.ones(len(x) - 2), [PRIOR, PRIOR])
    largest = float(x.max())
    if largest <= 0:
        return 0.0

    def slope(s: float) -> float:
        return float(np.sum(shape * x / (1 - s * x)))

    end = 1 / largest
    if slope(0.0) >= 0:
        return 1.0
    s = float(brentq(slope, 0.0, end * (1 - 1e-12)))
    r = sqrt(max(2 * float(np.sum(shape * np.log1p(-s * x))), 0.0))
    v = s * sqrt(float(np.sum(shape * (x / (1 - s * x)) ** 2)))
    return min(1.0, 2 * (exp(float(log_ndtr(-r))) + exp(-r * r / 2) / sqrt(2 * pi) * (1 / v - 1 / r)))


def mean_estimate(values: ArrayLike) -> Estimate:
    """The mean of scores in [0, 1] with its interval."""
    return means([np.asarray(values, np.float64)])[0].estimate


def stratified(values: Floats, strata: NDArray[Any]) -> Floats:
    """Transform values [n] so that their mean and its variance are those of the unweighted mean of the strata's means.

    Strata are bins of context length or the parts of a suite.
    """
    names, at, counts = np.unique(strata.astype(str), return_inverse=True, return_counts=True)
    own = np.bincount(at, values) / counts
    return own.mean() + (values - own[at]) * (len(values) / len(names) / counts[at])


def ratio(difference: Distribution, baseline: Distribution) -> Estimate | None:
    """``1 + difference / baseline`` with its interval, which excludes 1 where that of the difference excludes 0.

    None for a baseline of 0. Near 0 some of its draws can be negative, as `spread` widens them, and would turn the
    difference round; the smallest positive draw takes their place.
    """
    if not baseline.mean > 0:
        return None
    if len(draws := difference.draws):
        draws = 1 + draws / np.maximum(baseline.draws, baseline.draws[baseline.draws > 0].min())
    return Distribution(1 + difference.mean / baseline.mean, draws, difference.n, (0.0, np.inf)).estimate


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for multiple testing (Holm, Scand. J. Stat. 6:65-70, 1979).

    The probability that any true null hypothesis falls below .05 stays below .05, for any dependence of the tests.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def detectable(values: ArrayLike) -> float | None:
    """The smallest true mean difference that these n samples detect with 80 % power, two-sided at 5 %.

    ``(t(.975) + t(.8)) sd / sqrt(n)`` with n - 1 degrees of freedom and the standard deviation of the paired
    differences (Cohen, Statistical Power Analysis, 1988, section 2.3; for evaluations of language models Miller,
    arXiv:2411.00640, section 5). None for fewer than two differences, or if all are equal.
    """
    found = np.asarray(values, np.float64)
    if found.size < 2 or np.ptp(found) == 0:
        return None
    freedom = found.size - 1
    quantiles = float(stdtrit(freedom, 1 - ERROR / 2) + stdtrit(freedom, POWER))
    return quantiles * float(found.std(ddof=1)) / sqrt(found.size)
