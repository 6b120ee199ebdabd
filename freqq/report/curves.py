"""Retention against each of the three rates, and the area between two methods' curves."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log
from statistics import fmean

from scipy.interpolate import PchipInterpolator

from freqq.report.comparison import RATES, Comparison
from freqq.report.statistics import Estimate


@dataclass(frozen=True)
class Curve:
    """A method's levels in a run: one of `RATES` and the retention of each.

    Parameters
    ----------
    method : str
        As `curve_names` names it.
    points : tuple of (rate, retention, comparison)
        Sorted by rate, a fraction of the uncompressed that can exceed 1.
    """

    context: int
    needles: int | None
    method: str
    rate: str
    points: tuple[tuple[float, Estimate, Comparison], ...]


@dataclass(frozen=True)
class Area:
    """How much more `method` retains than `other` at the same rate, on average over `low` to `high`.

    Parameters
    ----------
    method, other : str
        As `curve_names` names them.
    difference : float
        Difference of the retentions, averaged over the logarithm of the rate.
    """

    context: int
    needles: int | None
    rate: str
    method: str
    other: str
    low: float
    high: float
    difference: float


def curve_names(comparisons: Sequence[Comparison]) -> dict[tuple[int, str, str], str]:
    """The name of the curve of each context, method and run: the method, and its run if several of the context have it.

    A method's parameters may differ from run to run, so its levels in two runs are not points of one curve.
    """
    keys = dict.fromkeys((c.context, c.method, c.run) for c in comparisons if not c.is_baseline)
    several = Counter((context, method) for context, method, _ in keys)
    return {key: key[1] if several[key[:2]] == 1 else f"{key[1]} ({key[2]})" for key in keys}


def curves(comparisons: Sequence[Comparison]) -> list[Curve]:
    """The curves of all methods and runs against the same arm, for the rates that they change."""
    names = curve_names(comparisons)
    groups: dict[
        tuple[tuple[int, int | None, str, str], tuple[str | None, str | None]], list[tuple[float, Estimate, Comparison]]
    ] = {}
    for c in comparisons:
        for rate in RATES:
            value = c.rates[rate]
            if c.retention is not None and value is not None and value > 0 and not c.is_baseline:
                key = c.context, c.needles, names[c.context, c.method, c.run], rate
                groups.setdefault((key, (c.reference_run, c.reference)), []).append((value, c.retention, c))
    return [
        Curve(*key, tuple(sorted(points, key=lambda p: (p[0], p[1].mean, p[2].run))))
        for (key, _), points in groups.items()
        if any(round(value, 6) != 1 for value, _, _ in points)
    ]


def areas(comparisons: Sequence[Comparison]) -> list[Area]:
    """The areas between the curves of all pairs of methods of a context that overlap."""
    found = []
    for a, b in combinations(curves(comparisons), 2):
        if (a.context, a.needles, a.rate) == (b.context, b.needles, b.rate):
            between = area([(p[0], p[1].mean) for p in a.points], [(p[0], p[1].mean) for p in b.points])
            if between is not None:
                found.append(Area(a.context, a.needles, a.rate, a.method, b.method, *between))
    return found


def area(a: Sequence[tuple[float, float]], b: Sequence[tuple[float, float]]) -> tuple[float, float, float] | None:
    """The mean vertical distance of two curves over the logarithm of the rate, where both are defined.

    After Bjontegaard (ITU-T VCEG-M33, 2001), who averages the difference of two cubics in log rate; with monotone
    piecewise cubics (PCHIP) instead, which do not oscillate (Herglotz et al., arXiv:2304.12852, section II).

    Parameters
    ----------
    a, b : sequences of (rate, value)
        At least two different rates each; values at equal rates are averaged.

    Returns
    -------
    low, high : float
        The common range of rates.
    difference : float
        The mean of a - b in it. Returns None if the ranges do not overlap.
    """
    first, second = _by_rate(a), _by_rate(b)
    if min(len(first), len(second)) < 2:
        return None
    low, high = max(min(first), min(second)), min(max(first), max(second))
    if low >= high:
        return None
    one, other = (PchipInterpolator([log(r) for r in c], list(c.values())) for c in (first, second))
    start, end = log(low), log(high)
    return low, high, float(one.integrate(start, end) - other.integrate(start, end)) / (end - start)


def _by_rate(points: Sequence[tuple[float, float]]) -> dict[float, float]:
    return {rate: fmean(v for r, v in points if r == rate) for rate in sorted({r for r, _ in points})}
