"""Accuracy against rate: one figure for each of the three rates."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, NullLocator

from freqq.report.html.charts import INK, SERIES, SETTINGS, inline, new_figure
from freqq.report.statistics import Estimate

RATES = (
    ("image_bytes", "bytes of the page images"),
    ("token_bytes", "bytes of the stored tokens"),
    ("tokens", "tokens in the sequence"),
)
"""The rates and their descriptions."""

MARKERS = {"o": "●", "s": "■", "D": "◆", "^": "▲", "v": "▼", "P": "✚", "X": "✖", "*": "★"}
"""Markers in the figures, and their symbols in the legend."""

STYLES = ("-", "--", ":", "-.")
MOST_LINES = 12
SAME = 1e-9
"""Tolerance for a rate of 1."""


@dataclass(frozen=True)
class Point:
    """A level: its rates (None: unknown) and its retention or score."""

    level: str
    rates: Mapping[str, float | None]
    value: Estimate


@dataclass(frozen=True)
class Key:
    """An entry of the legend."""

    name: str
    colour: str
    mark: str


@dataclass(frozen=True)
class Panels:
    """Figures as SVG, their legend, and notes on what they leave out."""

    charts: tuple[str, ...]
    legend: tuple[Key, ...]
    notes: tuple[str, ...]


def panels(lines: Mapping[str, Sequence[Point]], name: str, what: str) -> Panels:
    """The three figures of the first `MOST_LINES` lines.

    Parameters
    ----------
    lines : mapping
        Each method's levels, from the mildest to the strongest.
    name : str
        Prefix of the ids.
    what : str
        The values: ``retention`` (of the baseline's score) or ``score``.
    """
    names = list(lines)[:MOST_LINES]
    notes = [f"only the first {MOST_LINES} of {len(lines)} lines are drawn"] if len(lines) > MOST_LINES else []
    charts = []
    for rate, words in RATES:
        known = {i: [p for p in lines[n] if p.rates[rate] is not None] for i, n in enumerate(names)}
        own = {i: points for i, points in known.items() if not all(_is_one(p.rates[rate]) for p in points)}
        if own:
            charts.append(_panel(names, own, rate, f"{name}-{rate}", words, what))
            if still := [line for i, line in enumerate(names) if i not in own]:
                notes.append(f"{', '.join(still)} {'do' if len(still) > 1 else 'does'} not change the {words}")
        else:
            notes.append(f"nothing changes the {words}, so there is no figure of it")
    legend = tuple(Key(line, f"var(--series-{_colour(i)})", MARKERS[_marker(i)]) for i, line in enumerate(names))
    return Panels(tuple(charts), legend, tuple(notes))


def _panel(lines: Sequence[str], own: dict[int, list[Point]], rate: str, name: str, words: str, what: str) -> str:
    with mpl.rc_context(SETTINGS):
        figure, axes = new_figure(3.7, 2.9)
        if what == "retention":
            axes.axhline(100, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.axvline(1, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
        for number, points in own.items():
            _draw(axes, number, sorted(points, key=lambda p: p.rates[rate] or 0), rate)
        rates = [r for points in own.values() for p in points if (r := p.rates[rate])]
        low, high = min([*rates, 0.8]) / 1.25, max([*rates, 1.0]) * 1.25
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        axes.xaxis.set_major_locator(_locator(low, high))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, at: f"{100 * tick:g} %"))
        axes.set_ylim(0, max(105, axes.get_ylim()[1]))
        axes.grid(axis="y", alpha=0.5)
        axes.set_xlabel(f"{words}, % of the uncompressed")
        axes.set_ylabel("score, % of the baseline's" if what == "retention" else "score, points")
        return inline(figure, name, _described(lines, own, rate, words, what))


def _draw(axes: Axes, number: int, points: Sequence[Point], rate: str) -> None:
    middle, low, high = (np.array([100 * getattr(p.value, end) for p in points]) for end in ("mean", "low", "high"))
    # An unknown interval has no whiskers.
    whiskers = np.nan_to_num([middle - low, high - middle]).clip(min=0)
    axes.errorbar(
        [p.rates[rate] or math.nan for p in points], middle, yerr=whiskers, color=SERIES[_colour(number)],
        marker=_marker(number), markersize=6, linestyle=STYLES[number // len(SERIES) % len(STYLES)], linewidth=1.3,
        elinewidth=1, capsize=2.5,
    )  # fmt: skip


def _described(lines: Sequence[str], own: dict[int, list[Point]], rate: str, words: str, what: str) -> str:
    """The figure's points in words."""
    texts = []
    for number, points in own.items():
        shown = ", ".join(f"{p.level} {100 * p.value.mean:.0f} at {100 * (p.rates[rate] or 0):.3g} %" for p in points)
        texts.append(f"{lines[number]}: {shown}")
    kind = "Score in percent of the baseline's" if what == "retention" else "Score in points"
    return f"{kind} against {words}, in percent of the uncompressed. " + "; ".join(texts) + "."


def _locator(low: float, high: float) -> Locator:
    """Three to seven ticks, including 1, on a logarithmic axis between two rates."""
    if high < 10 * low:
        return MaxNLocator(6, steps=[1, 2, 5, 10], min_n_ticks=3)
    return LogLocator(subs=(1, 2, 5) if high < 100 * low else (1, 3) if high < 1000 * low else (1,), numticks=20)


def _is_one(rate: float | None) -> bool:
    return rate is not None and abs(rate - 1) < SAME


def _colour(number: int) -> int:
    return number % len(SERIES)


def _marker(number: int) -> str:
    return list(MARKERS)[number % len(MARKERS)]
