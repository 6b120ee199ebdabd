"""A figure of score against throughput, from the turns of a bench and the scores of a run."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from matplotlib.figure import Figure

from freqq.bench.turns import BASELINE, Turn, savings
from freqq.errors import UserError
from freqq.levels import LEVELS
from freqq.runs.schema import renamed
from freqq.tokens import compressor_at
from freqq.tokens.measures import method_params

Interval = tuple[float, float, float]
"""A mean and the ends of its 95 % interval."""

MARKERS = "osD^vPX*<>hp"


@dataclass(frozen=True)
class Point:
    """A method at a level: throughput as a multiple of that without compression, and mean score."""

    method: str
    level: str
    throughput: Interval
    score: Interval


def turns_of(rows: Iterable[Mapping[str, Any]]) -> list[Turn]:
    """The turns that ``freqq bench --out`` wrote, from its rows.

    Raises
    ------
    UserError
        If they are not rows of such a table.
    """
    try:
        return [Turn(**{field.name: row[field.name] for field in fields(Turn)}) for row in rows]
    except KeyError as missing:
        raise UserError(f"the table is not of 'freqq bench --out': it has no column {missing}") from missing


def scores_of(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], list[float]]:
    """Scores of a run's answers by method and level, without failures."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        if row["score"] is not None and not row.get("error"):
            found[renamed(row["method"]), row["level"]].append(row["score"])
    return dict(found)


def check_parameters(rows: Iterable[Mapping[str, Any]], turns: Sequence[Turn]) -> None:
    """Refuse a run whose methods have other parameters than a bench, which takes those of the levels.

    Raises
    ------
    UserError
        For the first method that differs.
    """
    benched = {(turn.method, turn.level) for turn in turns if turn.method != BASELINE}
    stored = {(row["method"], row["level"]): row.get("params") for row in rows}
    for method, level in sorted(benched & stored.keys()):
        own, theirs = json.loads(method_params(compressor_at(method, level))), json.loads(stored[method, level] or "{}")
        if other := [
            f"{name} {theirs[name]}, not {own[name]}" for name in own.keys() & theirs if own[name] != theirs[name]
        ]:
            raise UserError(
                f"the run's {method} ({level}) is not the one that was benched (it has {', '.join(sorted(other))}): "
                "give a run without --keep, --bits and --set"
            )


def points(turns: Sequence[Turn], scores: Mapping[tuple[str, str], Interval]) -> list[Point]:
    """The methods that were both benched and scored, the baseline first.

    Raises
    ------
    UserError
        If there are fewer than two.
    """
    found = [
        Point(saving.method, saving.level, saving.throughput, score)
        for saving in savings(turns)
        if (score := scores.get((saving.method, saving.level))) is not None
    ]
    if len(found) < 2:
        raise UserError(
            "the bench and the run have fewer than two methods in common: give both the same --method, --level"
        )
    return sorted(found, key=lambda p: (p.method != BASELINE, p.method, LEVELS.index(p.level)))


def throughput(found: Sequence[Point], title: str) -> Figure:
    """Score against throughput, each with its 95 % interval; the levels of a method are joined."""
    figure = Figure(figsize=(7.6, 5.0), layout="constrained")
    axes = figure.subplots()
    for number, method in enumerate(dict.fromkeys(point.method for point in found)):
        own = [point for point in found if point.method == method]
        x, y = [p.throughput[0] for p in own], [p.score[0] for p in own]
        xerr, yerr = _bars([p.throughput for p in own]), _bars([p.score for p in own])
        marker = MARKERS[number % len(MARKERS)]
        axes.errorbar(x, y, xerr=xerr, yerr=yerr, marker=marker, capsize=3, linewidth=1.2, label=method)
        if method != BASELINE:
            for point in own:
                axes.annotate(point.level, (point.throughput[0], point.score[0]), (5, 5), textcoords="offset points",
                              fontsize=8)  # fmt: skip
    axes.set_xlabel("throughput, as a multiple of that without compression (more is better)")
    axes.set_ylabel("score (more is better)")
    axes.set_title(title)
    axes.grid(True, color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(frameon=False)
    return figure


def _bars(intervals: Sequence[Interval]) -> list[list[float]]:
    """The lengths of intervals below and above their means."""
    return [[mean - low for mean, low, _ in intervals], [high - mean for mean, _, high in intervals]]
