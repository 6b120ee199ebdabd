"""Intervals and p-values of means and of paired differences, both from one distribution, so that they never disagree.

The mean of n values is given a distribution: the values are weighted at random (Rubin's Bayesian bootstrap, Ann. Stat.
9:130-134, 1981), together with two imagined values, one at each end of what could have been seen. The interval is that
of the middle 95 % of the distribution, the p-value is twice the part of it on the other side of 0: **the interval
excludes 0 exactly where p < .05**. Why the imagined values: compression that is mild changes few answers, and no
reweighting of these few shows what the others would have done. With half a value at each end of a proportion this is
Jeffreys' interval; `PRIOR`, `UNSEEN` and Student's quantile were chosen by simulation, which
``python examples/interval_coverage.py`` repeats.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache, partial
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
"""The weight of each imagined value; that of a real one is 1."""

UNSEEN = 2.2
"""How far beyond the largest of k changes another may lie, if all have one sign: so many times it, divided by √k."""

TAIL = round((DRAWS + 1) * ERROR / 2) - 1
"""Draws on the other side of 0 below which p is below .05; so an interval's ends have this place among the draws."""

FEW = 10
"""Draws on the other side of 0 below which their number is too coarse, and an approximation of the tail takes over."""

PRODUCT = 1 << 17
"""Weights that are multiplied at once: so few that they stay in a processor's cache."""


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
class Drawn:
    """The mean of n values with its distribution.

    Those of the same samples use the same random weights, so they stay paired.

    Parameters
    ----------
    draws : float64 [DRAWS], empty for fewer than two values
    bounds : (float, float)
        Between which the mean must lie.
    tail : function
        The chance of a value beyond 0, where too few draws lie there.
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
        parted = np.partition(self.draws, (TAIL - 1, DRAWS - TAIL))
        # Rounded, as a matrix product's last digits depend on how many columns it has.
        ends = (float(f"{parted[i]:.11g}") for i in (TAIL - 1, DRAWS - TAIL))
        low, high = (min(max(end, self.bounds[0]), self.bounds[1]) for end in ends)
        return Estimate(self.mean, min(low, self.mean), max(high, self.mean), self.n)

    @cached_property
    def p_value(self) -> float:
        """Two-sided, of the mean being 0; 1 where nothing could be drawn."""
        if not len(self.draws):
            return 1.0
        beyond = min(int(np.count_nonzero(self.draws <= 0)), int(np.count_nonzero(self.draws >= 0)))
        p = min(1.0, 2 * (1 + beyond) / (1 + DRAWS))
        return p if beyond >= FEW else min(p, self.tail())


@lru_cache(maxsize=16)
def weights(n: int) -> Floats:
    """Random weights of n values and of the two imagined ones, each row summing to 1: float64 [DRAWS, n + 2]."""
    rng = np.random.default_rng(SEED)
    found = np.empty((DRAWS, n + 2))
    found[:, :n] = rng.standard_exponential((DRAWS, n))
    found[:, n:] = rng.standard_gamma(PRIOR, (DRAWS, 2))
    found /= found.sum(1, keepdims=True)
    found.flags.writeable = False
    return found


def means(samples: Sequence[Floats]) -> list[Drawn]:
    """The mean of each of some samples of scores, which lie in [0, 1]: the imagined values are 0 and 1."""
    return _drawn(samples, [(0.0, 1.0)] * len(samples), (0.0, 1.0))


def differences(samples: Sequence[Floats]) -> list[Drawn]:
    """The mean of each of some samples of paired differences of scores, which lie in [-1, 1]; see `reach`.

    Turning all differences round turns the distribution round.
    """
    turned = [-1.0 if values.sum() > 0 else 1.0 for values in samples]
    ends = [(-far, far) for far in map(reach, samples)]
    found = _drawn([v * s for v, s in zip(samples, turned, strict=True)], ends, (-1.0, 1.0))
    return [
        replace(d, mean=d.mean * s, draws=d.draws * s) if np.any(v) else _unchanged(d)
        for d, s, v in zip(found, turned, samples, strict=True)
    ]


def _unchanged(found: Drawn) -> Drawn:
    """Of n differences that are all 0: how many of all answers change, if at least one in twenty such runs shows none.

    The ends are ``1 - 0.05 ** (1 / n)`` to both sides, as if each of these answers became wholly wrong, or right.
    """
    if not len(found.draws):
        return found
    sizes = 1 - ((np.arange(DRAWS) + 0.5) / DRAWS) ** (1 / found.n)
    sizes[::2] *= -1
    return replace(found, draws=sizes, tail=lambda: 1.0)


def reach(values: Floats) -> float:
    """How large a change, up or down, is imagined beside the k changes that were seen.

    The largest of k values understates the largest possible: it is enlarged, by `UNSEEN`, the less the more the changes
    cancel, for then those of the other sign bear it out.
    """
    sizes = np.abs(values)
    changed = int(np.count_nonzero(sizes))
    if not changed:
        return 1.0
    one_sided = float(abs(values.sum()) / sizes.sum())
    return min(1.0, float(sizes.max()) * (1 + UNSEEN * one_sided**2 / sqrt(changed)))


def _drawn(samples: Sequence[Floats], ends: Sequence[tuple[float, float]], bounds: tuple[float, float]) -> list[Drawn]:
    """Samples of the same size share their weights, and one product."""
    found: dict[int, Drawn] = {}
    for n in {len(values) for values in samples}:
        alike = [i for i, values in enumerate(samples) if len(values) == n]
        if n < 2:
            found |= {i: Drawn(float(samples[i][0]) if n else nan, np.empty(0), n, bounds) for i in alike}
            continue
        columns = np.column_stack([np.append(samples[i], ends[i]) for i in alike])
        wider = spread(n)
        for i, draws in zip(alike, _exact(_product(weights(n), columns), columns), strict=True):
            mean = float(samples[i].mean())
            values = np.append(samples[i], ends[i])
            found[i] = Drawn(mean, mean + wider * (draws - mean), n, bounds, partial(_tail, values, mean, wider))
    return [found[i] for i in range(len(samples))]


def spread(n: int) -> float:
    """How much wider than the normal distribution Student's is, at the interval's ends."""
    return float(stdtrit(n - 1, 1 - ERROR / 2) / ndtri(1 - ERROR / 2))


def _exact(draws: Floats, columns: Floats) -> Floats:
    """Draws [k, DRAWS] of weighted means, with the mean and variance that they would have if there were endless many.

    Those of Dirichlet's distribution are known; only the distribution's shape is left to chance.
    """
    shape = np.append(np.ones(len(columns) - 2), [PRIOR, PRIOR])
    total = shape.sum()
    mean = shape @ columns / total
    variance = (shape @ (columns - mean) ** 2 / total) / (total + 1)
    own = draws.mean(1, keepdims=True)
    scale = np.sqrt(variance)[:, None] / np.maximum(draws.std(1, keepdims=True), np.finfo(float).tiny)
    return mean[:, None] + (draws - own) * scale


def _product(matrix: Floats, columns: Floats) -> Floats:
    """Their product, as [k, rows]."""
    found = np.empty((columns.shape[1], len(matrix)))
    rows = max(1, PRODUCT // len(columns))
    for start in range(0, len(matrix), rows):
        found[:, start : start + rows] = (matrix[start : start + rows] @ columns).T
    return found


def _tail(values: Floats, mean: float, wider: float) -> float:
    """Two-sided p-value of a mean that lies so far from 0 that hardly a draw lies beyond it.

    The weighted mean of x exceeds m where the sum of g·(x - m) is positive, with independent gamma variables g; its
    tail is Lugannani and Rice's approximation (Adv. Appl. Prob. 12:475-490, 1980), whose equation is that of the
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
    """The mean of scores with its interval."""
    return means([np.asarray(values, np.float64)])[0].estimate


def stratified(values: Floats, strata: NDArray[Any]) -> Floats:
    """Values whose mean, and its spread, are those of the mean of the strata's means, each counting the same.

    Strata are bins of context length or the parts of a suite: [n] -> [n].
    """
    names, at, counts = np.unique(strata.astype(str), return_inverse=True, return_counts=True)
    own = np.bincount(at, values) / counts
    return own.mean() + (values - own[at]) * (len(values) / len(names) / counts[at])


def ratio(difference: Drawn, baseline: Drawn) -> Estimate | None:
    """``1 + difference / baseline`` with its interval, which excludes 1 where that of the difference excludes 0.

    None for a baseline of 0, in proportion to which nothing can be said.
    """
    if not baseline.mean > 0:
        return None
    draws = 1 + difference.draws / baseline.draws if len(difference.draws) else difference.draws
    return Drawn(1 + difference.mean / baseline.mean, draws, difference.n, (0.0, np.inf)).estimate


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for all being looked at together (Holm, Scand. J. Stat. 6:65-70, 1979).

    The chance that any true null hypothesis falls below .05 stays below .05, however the tests depend on each other.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def detectable(values: ArrayLike) -> float | None:
    """The smallest true mean difference that these n samples would have shown with 80 % power, two-sided at 5 %.

    ``(t(.975) + t(.8)) sd / sqrt(n)`` with n - 1 degrees of freedom, and sd that of the paired differences (Cohen,
    Statistical Power Analysis, 1988, section 2.3; for evaluations of language models Miller, arXiv:2411.00640,
    section 5). None where fewer than two differences, or equal ones, say nothing of their spread.
    """
    found = np.asarray(values, np.float64)
    if found.size < 2 or np.ptp(found) == 0:
        return None
    freedom = found.size - 1
    quantiles = float(stdtrit(freedom, 1 - ERROR / 2) + stdtrit(freedom, POWER))
    return quantiles * float(found.std(ddof=1)) / sqrt(found.size)
