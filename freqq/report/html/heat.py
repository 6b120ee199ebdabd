"""A heat map by needles and context length: a table of numbers in coloured cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from freqq.report import wording
from freqq.report.comparison import Comparison, Part
from freqq.report.results import bin_order

LOSS, GAIN = "#b2182b", "#2166ac"
"""The ends of matplotlib's colour map RdBu, which are safe for colour blindness."""

FULL = 0.5
"""The difference from which the colour is strongest; the same in all maps, so that they can be compared."""

STEPS = (-0.5, -0.2, -0.05, 0.0, 0.05, 0.2, 0.5)
"""Differences shown in the legend."""

STRONG = {LOSS: 0.78, GAIN: 0.88}
"""The shares from which text is white; black or white text has a contrast of at least 4.5 to 1."""

MOST_COLUMNS = 15
"""More do not fit on a screen; each row is then a block of cells with their own labels."""


@dataclass(frozen=True)
class Cell:
    """A cell: its number, its CSS colours, its column in words, and its tooltip."""

    text: str
    paper: str
    ink: str
    label: str
    title: str


@dataclass(frozen=True)
class HeatRow:
    """A method at a level; cells without samples are None."""

    method: str
    level: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class HeatMap:
    """Rows of methods; columns of bins, grouped by needles; colours and numbers of the legend."""

    title: str
    caption: str
    needles: tuple[tuple[str, int], ...]
    bins: tuple[str, ...]
    rows: tuple[HeatRow, ...]
    steps: tuple[tuple[str, str], ...]
    wide: bool


def heat_map(comparisons: Sequence[Comparison], title: str) -> HeatMap:
    """The heat map of one run: differences to the baseline, or scores without one."""
    own = [c for c in comparisons if c.needles is not None]
    counts = sorted({c.needles or 0 for c in own})
    bins = {n: bin_order([b.name for c in own if c.needles == n for b in c.bins]) for n in counts}
    at = {(c.method, c.level, c.needles, b.name): b for c in own for b in c.bins}
    compared = any(b.difference is not None and b.difference.n for b in at.values())
    rows = []
    for method, level in dict.fromkeys((c.method, c.level) for c in own):
        columns = [(n, b, at.get((method, level, n, b))) for n in counts for b in bins[n]]
        label = "{}, {}" if len(counts) > 1 else "{1}"
        cells = (
            None if p is None else _cell(p, compared, label.format(wording.needles(n), _bin_name(b)))
            for n, b, p in columns
        )
        rows.append(HeatRow(method, level, tuple(cells)))
    if compared:
        caption = (
            "Difference to the baseline in points; its own row has the scores. Colours mean the same in all reports."
        )
        steps = tuple((colours(_share(step))[0], wording.points(step, True).removesuffix(".0")) for step in STEPS)
    else:
        caption = "Score in points."
        steps = tuple((colours(step)[0], f"{100 * step:.0f}") for step in (0.0, 0.25, 0.5, 0.75, 1.0))
    return HeatMap(
        title,
        caption,
        tuple((wording.needles(n), len(bins[n])) for n in counts),
        tuple(_bin_name(b) for n in counts for b in bins[n]),
        tuple(rows),
        steps,
        sum(map(len, bins.values())) > MOST_COLUMNS,
    )


def colours(value: float) -> tuple[str, str]:
    """CSS colours of a cell and its text for a value from -1 to 1; 0 is the page's background."""
    share = min(abs(value), 1.0)
    colour = LOSS if value < 0 else GAIN
    paper = f"color-mix(in srgb, {colour} {100 * share:.0f}%, var(--paper))"
    return paper, "#fff" if share >= STRONG[colour] else "var(--contrast)"


def _share(difference: float) -> float:
    """Strength of a difference's colour: its square root, so that small differences are distinguishable too."""
    share = sqrt(min(abs(difference) / FULL, 1.0))
    return share if difference >= 0 else -share


def _cell(found: Part, compared: bool, label: str) -> Cell:
    """The cell of a bin: its difference, or its score if there is none."""
    score, change = found.score.mean, found.difference
    title = f"{label}: score {wording.points(score)}, {wording.counted(found.n, 'sample')}"
    if not compared and score == score:
        return Cell(wording.points(score), *colours(score), label, title)
    if change is None or not change.n:
        return Cell(wording.points(score), "var(--panel)", "var(--ink)", label, title)
    if change.low == change.low:
        title += f", difference between {wording.points(change.low, True)} and {wording.points(change.high, True)}"
    return Cell(wording.points(change.mean, True), *colours(_share(change.mean)), label, title)


def _bin_name(name: str) -> str:
    return name.replace("_", "–") if name else "any"
