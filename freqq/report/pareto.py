"""Figure of legibility and score against bytes per page, for codecs and levels."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from freqq.errors import UserError
from freqq.levels import LEVELS
from freqq.report.figures import titled
from freqq.report.results import Results
from freqq.report.run_facts import differing
from freqq.runs.schema import BASELINE, renamed

COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6bb1", "#8c510a", "#b3de69",
    "#7f7f7f", "#003c30", "#ffd92f",
)  # fmt: skip
"""Okabe and Ito's colours, then others that differ from these; one per codec."""

SCORED = ("method", "level", "params", "model_revision", "config_hash", "image_bytes", "pages", "score", "error")
"""Columns of a run's results that `score_points` needs."""

MARKERS = "osD^vPX*<>hp"
FLOOR = "text"
LEAST_CER = 1e-4
"""A logarithmic axis has no 0: lower error rates are drawn at this one, and the axis is labelled accordingly."""

MARGIN = 10**0.15
"""Margin of the axis of error rates beyond its last decades, so that no marker is cut."""


@dataclass(frozen=True)
class Point:
    """A codec at a level: mean bytes per page, and mean character error rate or score."""

    codec: str
    level: str
    size: float
    value: float


def legibility_points(rows: Iterable[Mapping[str, Any]]) -> list[Point]:
    """Character error rates from the rows of `freqq compress-image --ocr`.

    Raises
    ------
    UserError
        If a codec has several parameters at a level: their mean would be that of neither.
    """
    rows = list(rows)
    _check_alike(((r["codec"], r["level"], r) for r in rows), ("params",))
    return _points((r["codec"], r["level"], r["stream_bytes"], r["cer"]) for r in rows if r.get("cer") is not None)


def score_points(rows: Iterable[Mapping[str, Any]]) -> list[Point]:
    """Mean scores from the answered rows of a run's image methods and baseline (whose pages are PNG).

    Raises
    ------
    UserError
        As `legibility_points`, or if a codec was read by several models, at several resolutions or the like.
    """
    own = [
        r
        for r in rows
        if renamed(r["method"]) == BASELINE or r["method"].split("-")[0] == "image"
        if not r.get("error")
    ]
    _check_alike(((_codec(r["method"]), r["level"], r) for r in own), ("params", "model_revision", "config_hash"))
    return _points(
        (_codec(r["method"]), r["level"], r["image_bytes"] / r["pages"], r["score"])
        for r in own
        if r["pages"] and r["image_bytes"] is not None
    )


def check_comparable(runs: Sequence[Results]) -> None:
    """Refuse runs of other models, data, pages or protocols, whose scores do not belong in one panel.

    Raises
    ------
    UserError
        The message names the facts that differ.
    """
    for one, other in combinations(runs, 2):
        if reasons := differing(one, other):
            raise UserError(
                f"{one.path} and {other.path} do not belong in one figure, as {'; '.join(reasons)}: draw one of each"
            )


def pareto(legibility: Sequence[Point], scores: Sequence[Point], title: str) -> Figure:
    """Character error rate and score against bytes; a panel for each that has points.

    The broad gray line is the Pareto front, without the codec `text`, which is a lower bound.
    """
    panels = [p for p in ((legibility, "character error rate", True), (scores, "score", False)) if p[0]]
    figure = Figure(figsize=(7.6 * len(panels) + 1.6, 5.4), layout="constrained")
    codecs = list(dict.fromkeys(point.codec for points, _, _ in panels for point in points))
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for one, (points, what, less) in zip(axes, panels, strict=True):
        _panel(one, points, codecs, what, less)
    handles = {label: handle for one in axes for handle, label in zip(*one.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", frameon=False)
    return titled(figure, title)


def front(points: Sequence[Point], less: bool) -> list[Point]:
    """The Pareto front of size and value, by size."""
    sign = 1 if less else -1
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.size, sign * p.value)):
        if not best or sign * point.value < sign * best[-1].value:
            best.append(point)
    return best


def _panel(axes: Axes, points: Sequence[Point], codecs: Sequence[str], what: str, less: bool) -> None:
    def height(point: Point) -> float:
        return max(point.value, LEAST_CER) if less else point.value

    best = front([point for point in points if point.codec != FLOOR], less)
    if len(best) > 1:
        # Broad, to be visible below the line of a codec.
        axes.plot([p.size for p in best], [height(p) for p in best], color="#cccccc", linewidth=7, zorder=1,
                  solid_capstyle="round", label="best for its bytes")  # fmt: skip
    for number, codec in enumerate(codecs):
        own = sorted((p for p in points if p.codec == codec), key=lambda p: LEVELS.index(p.level))
        if own:
            axes.plot(
                [p.size for p in own],
                [height(p) for p in own],
                color=COLOURS[number % len(COLOURS)],
                marker=MARKERS[number % len(MARKERS)],
                linewidth=1.2,
                markersize=7,
                markerfacecolor=COLOURS[number % len(COLOURS)] if number < len(COLOURS) else "white",
                label=renamed(codec),
            )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(_kilobytes))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda size, at: _kilobytes(size, at) if _is_marked(size) else ""))
    axes.set_xlabel("bytes a page")
    if less:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
        least = any(point.value < LEAST_CER for point in points)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, at: _rate(value, least)))
        # Whole decades, because only their ends are labelled.
        heights = [math.log10(height(p)) for p in points]
        lowest = math.floor(min(heights, default=-3))
        highest = max(math.ceil(max(heights, default=0)), lowest + 1)
        axes.set_ylim(10.0**lowest / MARGIN, 10.0**highest * MARGIN)
    axes.set_ylabel(f"{what} ({'less' if less else 'more'} is better)")
    axes.grid(True, which="major", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)


def _rate(value: float, least: bool) -> str:
    """Label of an error rate; `least`: whether lower ones are drawn at `LEAST_CER`."""
    return f"≤ {value:g}" if least and math.isclose(value, LEAST_CER) else f"{value:g}"


def _is_marked(size: float) -> bool:
    return f"{size:.1e}"[:3] in ("2.0", "5.0")


def _kilobytes(size: float, at: int) -> str:
    return f"{size / 1000:g} KB" if size >= 1000 else f"{size:g} B"


def _codec(method: str) -> str:
    return "dct" if method == "image" else renamed(method).removeprefix("image-")


def _check_alike(rows: Iterable[tuple[str, str, Mapping[str, Any]]], names: Sequence[str]) -> None:
    found: dict[tuple[str, str, str], Any] = {}
    for codec, level, row in rows:
        for name in names:
            first = found.setdefault((codec, level, name), row.get(name))
            if first != row.get(name):
                raise UserError(
                    f"these tables have {codec} at {level} with several {name} ({first} and {row.get(name)}), which "
                    "would be drawn as one point: give them one by one"
                )


def _points(values: Iterable[tuple[str, str, float, float]]) -> list[Point]:
    groups: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for codec, level, size, value in values:
        groups[codec, level].append((size, value))
    return [
        Point(codec, level, fmean(size for size, _ in group), fmean(value for _, value in group))
        for (codec, level), group in groups.items()
    ]
