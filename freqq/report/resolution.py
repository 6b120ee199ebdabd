"""Does a method lose less than drawing the page smaller? Arms beside the resolution that costs as much.

Glyph's paper shows how far scores fall when pages are drawn at fewer dots per inch, which needs no method at all
(arXiv:2510.17800, table 6). So each arm is compared with what the same model makes of the same samples at the
resolution at which they cost as much: of the two nearest resolutions that were measured, each sample's scores are
interpolated along the logarithm of the mean cost, and the differences are paired sample by sample.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from itertools import pairwise
from math import exp, log
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from freqq.errors import UserError
from freqq.levels import LEVELS
from freqq.names import unknown
from freqq.report.figures import titled
from freqq.report.pareto import COLOURS, MARKERS
from freqq.report.results import ArmResults, Floats, Results, Samples
from freqq.report.run_facts import differing_facts
from freqq.report.statistics import Estimate, differences, holm, mean_estimate
from freqq.runs.settings import Settings, renamed

COSTS = {
    "tokens": ("vision_tokens", "vision_tokens", "vision tokens a sample"),
    "image-bytes": ("image_bytes", "image_bytes_raw", "bytes of a sample's images"),
    "token-bytes": ("token_bytes", "token_bytes_raw", "bytes of a sample's stored tokens"),
}
"""What a sample can cost: a column of compressed arms, that of plain pages, and a name."""

NEAR = 0.05
"""How far a cost may lie beyond those that were measured, as a fraction of the nearest."""

APART = 0.1, 0.04
"""How far labels in the figure are apart, as a fraction of its width or in score, so that they do not overlap."""

GLYPH_DPI = 72.0
"""Of Glyph's own configuration, which holds where nothing else was asked for."""

MAY_DIFFER = ("dpi", "methods", "levels", "overrides", "limit", "baseline", "sizes", "skip_bad")
"""Settings in which the runs may differ: they change no answer to a sample, or say which arms there are."""

CURVES = tuple(colour for colour in COLOURS if colour != "#000000")  # black is the curve of plain pages


@dataclass(frozen=True)
class Point:
    """An arm at a resolution.

    Parameters
    ----------
    dpi : float
        At which the pages were drawn.
    cost : float
        Mean over the samples.
    score : Estimate
    equal_dpi : float or None
        The resolution at which plain pages cost as much; None where it is beyond those that were measured.
    difference : Estimate or None
        The arm's score less that of plain pages at `equal_dpi`, paired.
    p_value : float or None
        Of the difference, corrected for all of them (Holm).
    """

    dpi: float
    method: str
    level: str
    cost: float
    score: Estimate
    equal_dpi: float | None = None
    difference: Estimate | None = None
    p_value: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Its fields, with those of the estimates."""
        estimates = {"score": self.score.as_json(), "difference": self.difference and self.difference.as_json()}
        return {field.name: getattr(self, field.name) for field in fields(self)} | estimates


def resolution_points(runs: Sequence[Results], cost: str = "tokens") -> list[Point]:
    """The plain pages of each resolution by cost, then all other arms, on the samples that all of them answered.

    Parameters
    ----------
    runs : sequence of Results
        Of one model on one data set, at two resolutions or more, each with a baseline.
    cost : str
        One of `COSTS`.

    Raises
    ------
    UserError
        If the runs differ in more than their resolutions, methods and limits, a method has several parameters at a
        resolution, there is nothing to compare, or an arm's cost is unknown.
    """
    if cost not in COSTS:
        raise unknown("cost", cost, tuple(COSTS))
    _check_alike(runs)
    compressed, plain, _ = COSTS[cost]
    arms = _distinct(runs)
    baselines = {dpi: arm for dpi, arm in reversed(arms) if arm.is_baseline}
    if len(baselines) < 2:
        raise UserError(
            f"plain pages were read at {len(baselines)} resolution{'s' * (len(baselines) != 1)} only: give runs of "
            "freqq eval at two or more values of --dpi, each with its baseline"
        )
    others = [
        (dpi, arm) for dpi, arm in arms if not arm.is_baseline and np.isfinite(_answered(arm).values[compressed]).any()
    ]
    answered = [set(_answered(arm).ids) for arm in (*baselines.values(), *(arm for _, arm in others))]
    shared = reduce(set.intersection, answered)
    if not shared:
        raise UserError("there is no sample that all arms of these runs answered: give all of them the same --limit")
    curve = sorted(
        (_mean(samples, plain, f"plain pages at {dpi:g} dpi"), dpi, samples.score)
        for dpi, arm in baselines.items()
        for samples in [_only(arm.samples, shared)]
    )
    found = [Point(dpi, "baseline", "baseline", price, mean_estimate(score)) for price, dpi, score in curve]
    measured: list[tuple[Point, Floats | None]] = []
    for dpi, arm in others:
        samples = _only(arm.samples, shared)
        price = _mean(samples, compressed, f"{arm.method} {arm.level} at {dpi:g} dpi")
        equal, score = _at(price, curve)
        point = Point(dpi, arm.method, arm.level, price, mean_estimate(samples.score), equal)
        measured.append((point, None if score is None else samples.score - score))
    drawn = differences([change for _, change in measured if change is not None])
    corrected = iter(zip(drawn, holm([one.p_value for one in drawn]), strict=True))
    for point, change in measured:
        if change is None:
            found.append(point)
            continue
        one, p = next(corrected)
        found.append(replace(point, difference=one.estimate, p_value=p))
    return found


def unmeasured(points: Sequence[Point]) -> list[float]:
    """The resolutions, in whole dpi, at which plain pages would have to be read so that no difference is interpolated.

    A curve that bends between two measured resolutions lies above the line between them, which flatters a method.
    """
    plain = [p.cost for p in points if p.method == LEVELS[0]]
    apart = [p for p in points if p.difference and all(abs(p.cost - cost) > NEAR * cost for cost in plain)]
    return sorted({float(round(p.equal_dpi)) for p in apart if p.equal_dpi is not None})


def _at(price: float, curve: Sequence[tuple[float, float, Floats]]) -> tuple[float | None, Floats | None]:
    """The resolution at which plain pages cost so much, and their scores there; None beyond the measured ones.

    Grids have whole cells, so that a quarter of a page's tokens and the page at half of its resolution differ a little:
    within `NEAR` of the least or the highest cost, that one's scores hold.
    """
    within = min(max(price, curve[0][0]), curve[-1][0])
    if abs(price - within) > NEAR * within:
        return None, None
    for (low, first, before), (high, second, after) in pairwise(curve):
        if within <= high:
            share = (log(within) - log(low)) / (log(high) - log(low)) if high > low else 0.0
            return exp((1 - share) * log(first) + share * log(second)), (1 - share) * before + share * after
    raise AssertionError("a cost within the curve lies between two of its points")


def _check_alike(runs: Sequence[Results]) -> None:
    first = runs[0]
    for run in runs[1:]:
        one, other = (_settings(r) for r in (first, run))
        names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
        if differing := dict.fromkeys(
            name for name in [*names, *differing_facts(first, run)] if name not in MAY_DIFFER
        ):
            raise UserError(
                f"{first.path} and {run.path} differ in {', '.join(differing)}: resolutions are compared between runs "
                "of the same model, data and protocol"
            )


def _settings(run: Results) -> dict[str, Any]:
    """With the defaults of what older versions had no setting for."""
    return Settings().as_json() | renamed(run.description.get("settings", {}))


def _distinct(runs: Sequence[Results]) -> list[tuple[float, ArmResults]]:
    """All arms with their resolutions, each once: of runs that have the same, that with most answers."""
    found: dict[tuple[float, str], ArmResults] = {}
    drawn: dict[tuple[float, str], Results] = {}
    for run, arm in ((one, arm) for one in runs for arm in one.arms):
        dpi = _dpi(run)
        same = found.setdefault((dpi, arm.config_hash), arm)
        found[dpi, arm.config_hash] = max(same, arm, key=lambda arm: len(_answered(arm)))
        first = run if arm.is_baseline else drawn.setdefault((dpi, arm.method), run)
        if _settings(first)["overrides"] != _settings(run)["overrides"]:
            raise UserError(
                f"{first.path} and {run.path} have {arm.method} at {dpi:g} dpi with other parameters (--set), which "
                "would be one curve: give them one by one"
            )
    return [(dpi, arm) for (dpi, _), arm in found.items()]


def _dpi(run: Results) -> float:
    settings = _settings(run)
    if settings["dpi"] is None and settings["config"] is not None:
        raise UserError(f"{run.path} has the resolution of its --config: run it again with --dpi, which says it")
    return float(settings["dpi"] or GLYPH_DPI)


def _answered(arm: ArmResults) -> Samples:
    return arm.samples.take(np.flatnonzero(~arm.samples.failed))


def _only(samples: Samples, ids: set[str]) -> Samples:
    """Those samples; they keep their order, which is that of their ids, so that arms are paired by place."""
    return samples.take(np.flatnonzero([id in ids for id in samples.ids]))


def _mean(samples: Samples, column: str, arm: str) -> float:
    values: NDArray[np.float64] = samples.values[column]
    if not np.isfinite(values).any():
        raise UserError(
            f"no {column} were measured for {arm} (a server does not tell them): give another --cost, one of "
            f"{', '.join(COSTS)}"
        )
    return float(np.nanmean(values))


def as_csv(points: Sequence[Point]) -> str:
    """The points as a table; numbers with six digits, differences as fractions of 1."""
    heads = ("dpi", "method", "level", "cost", "score", "low", "high", "equal_dpi", "difference", "difference_low",
             "difference_high", "p_holm", "n")  # fmt: skip
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    for p in points:
        change = (p.difference.mean, p.difference.low, p.difference.high) if p.difference else (None, None, None)
        numbers = (p.score.mean, p.score.low, p.score.high, p.equal_dpi, *change, p.p_value)
        shown = ("" if value is None else f"{value:.6g}" for value in numbers)
        writer.writerow((f"{p.dpi:g}", p.method, p.level, f"{p.cost:.1f}", *shown, p.score.n))
    return text.getvalue()


def resolution(points: Sequence[Point], cost: str, title: str) -> Figure:
    """Score against cost: one curve for plain pages at each resolution, and one for each method and resolution."""
    figure = Figure(figsize=(8.6, 5.4), layout="constrained")
    axes = figure.subplots()
    plain = [p for p in points if p.method == "baseline"]
    axes.plot([p.cost for p in plain], [p.score.mean for p in plain], color="black", marker="o", linewidth=2.4,
              label="page drawn smaller", zorder=5)  # fmt: skip
    axes.fill_between([p.cost for p in plain], [p.score.low for p in plain], [p.score.high for p in plain],
                      color="black", alpha=0.12, linewidth=0)  # fmt: skip
    labelled: list[Point] = []
    width = np.log(max(p.cost for p in points) / min(p.cost for p in points))
    for p in reversed(plain):
        apart = [(abs(np.log(p.cost / q.cost)) / width, abs(p.score.mean - q.score.mean)) for q in labelled]
        if all(across > APART[0] or up > APART[1] for across, up in apart):
            labelled.append(p)
            axes.annotate(f"{p.dpi:g} dpi", (p.cost, p.score.mean), (-6, 7), textcoords="offset points", fontsize=8,
                          ha="right")  # fmt: skip
    groups = dict.fromkeys((p.method, p.dpi) for p in points if p.method != "baseline")
    resolutions = sorted({dpi for _, dpi in groups})
    for number, (method, dpi) in enumerate(groups):
        own = sorted((p for p in points if (p.method, p.dpi) == (method, dpi)), key=lambda p: _rank(p.level))
        bars = [[p.score.mean - p.score.low for p in own], [p.score.high - p.score.mean for p in own]]
        colour, marker = CURVES[number % len(CURVES)], MARKERS[number % len(MARKERS)]
        axes.errorbar([p.cost for p in own], [p.score.mean for p in own], bars, color=colour, marker=marker,
                      linestyle="-" if dpi == resolutions[-1] else "--", linewidth=1.2, elinewidth=0.7,
                      label=f"{method}, {dpi:g} dpi")  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(_amount))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(_ticks([p.cost for p in points]))
    axes.set_xlabel(COSTS[cost][2])
    axes.set_ylabel("score (more is better)")
    axes.grid(True, color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.legend(loc="outside right upper", frameon=False)
    return titled(figure, title)


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def _ticks(costs: Sequence[float]) -> list[float]:
    """Round numbers, 1, 2 and 5 times a power of ten, that cover the costs."""
    low, high = min(costs), max(costs)
    steps = [m * 10.0**e for e in range(-1, 13) for m in (1, 2, 5)]
    return [step for step in steps if low / 2.5 <= step <= high * 2.5]


def _amount(value: float, _: int) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
