"""Whether paired differences could be chance, how many of them to believe, and what n samples could have shown."""

from collections.abc import Sequence
from functools import lru_cache
from math import exp, log, pi, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import log_ndtr, stdtrit

Floats = NDArray[np.float64]

EXACT = 16
"""Up to so many differences that are not 0, all of their signs are tried."""

FLIPS = 9999
"""Random choices of signs beyond that."""

FEW = 10
"""Choices as extreme as the observed below which their share is too coarse, and an approximation takes over."""

POWER, ERROR = 0.8, 0.05
TIE = 1e-12
SEED = 0
CHUNK = 128


def sign_flip_p(differences: ArrayLike) -> float:
    """Two-sided p-value of the mean of paired differences, by flipping their signs.

    If a method changes nothing, each difference could as well have had the other sign. This needs no normality, takes
    differences as they are (with their many zeros and ties, which a rank test would have to drop), and tests the mean
    that the interval estimates. Fisher (The Design of Experiments, 1935, section 21). All signs are tried for up to
    `EXACT` differences; otherwise `FLIPS` random choices, the observed one counted with them so that p is never 0
    (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9:39, 2010). Where fewer than `FEW` of these are as extreme, the
    tail is Robinson's saddlepoint approximation (J. R. Stat. Soc. B 44:91-101, 1982): Holm's correction of a long table
    needs p-values smaller than one in ten thousand.

    Parameters
    ----------
    differences : [n] numbers
        No differences, or all 0: p is 1.
    """
    values = np.sort(np.abs(np.asarray(differences, np.float64)))
    observed = abs(float(np.sum(np.asarray(differences, np.float64))))
    values = values[values > 0]
    if values.size == 0:
        return 1.0
    least = observed - TIE * float(values.sum())
    if values.size <= EXACT:
        return float(np.mean(np.abs(_all_sums(values)) >= least))
    sums = _random_sums(values)
    hits = int(np.count_nonzero(np.abs(sums) >= least))
    if hits >= FEW:
        return (1 + hits) / (1 + FLIPS)
    return min(_saddlepoint_p(values, observed), (1 + FEW) / (1 + FLIPS))


def _all_sums(values: Floats) -> Floats:
    """Sums under each choice of signs: float64 [2 ** n]."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _random_sums(values: Floats) -> Floats:
    """Sums under `FLIPS` random choices of signs."""
    chosen = _choices(-(-values.size // CHUNK) * CHUNK)[:, : values.size]
    parts = (chosen[i : i + CHUNK].astype(np.float64) @ values for i in range(0, FLIPS, CHUNK))
    return 2 * np.concatenate(list(parts)) - values.sum()


@lru_cache(maxsize=8)
def _choices(size: int) -> NDArray[np.uint8]:
    """Random bits [FLIPS, size]; size is a multiple of 8."""
    rng = np.random.default_rng(SEED)
    return np.unpackbits(rng.integers(0, 256, (FLIPS, size // 8), np.uint8), axis=1)


def _saddlepoint_p(values: Floats, observed: float) -> float:
    """Twice the upper tail of the sum of ``±values`` (Lugannani and Rice 1980, with the cumulants of Robinson 1982).

    At the very end of the range, reached if all differences have one sign, it is exact: 2 of 2 ** n choices.
    """
    largest = float(values.sum())
    # Beyond the second largest sum there is but one choice of signs.
    if observed > largest - values[0]:
        return 2.0 ** (1 - values.size)
    scale = 1 / values.max()
    unit, target = values * scale, observed * scale

    def excess(s: float) -> float:
        return float(unit @ np.tanh(s * unit)) - target

    upper = 1.0
    while excess(upper) < 0:
        upper *= 2
    s = float(brentq(excess, 0.0, upper))
    cumulant = float(np.sum(np.logaddexp(s * unit, -s * unit) - log(2)))
    curvature = float(np.sum((unit / np.cosh(np.minimum(s * unit, 300))) ** 2))
    r, v = sqrt(2 * (s * target - cumulant)), s * sqrt(curvature)
    return min(1.0, 2 * (exp(float(log_ndtr(-r))) + exp(-r * r / 2) / sqrt(2 * pi) * (1 / v - 1 / r)))


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


def detectable(differences: ArrayLike) -> float | None:
    """The smallest true mean difference that these n samples would have shown with 80 % power, two-sided at 5 %.

    ``(t(.975) + t(.8)) sd / sqrt(n)`` with n - 1 degrees of freedom, and sd that of the paired differences (Cohen,
    Statistical Power Analysis, 1988, section 2.3; for evaluations of language models Miller, arXiv:2411.00640,
    section 5). None where fewer than two differences, or equal ones, say nothing of their spread.
    """
    values = np.asarray(differences, np.float64)
    if values.size < 2 or np.ptp(values) == 0:
        return None
    freedom = values.size - 1
    quantiles = float(stdtrit(freedom, 1 - ERROR / 2) + stdtrit(freedom, POWER))
    return quantiles * float(values.std(ddof=1)) / sqrt(values.size)
