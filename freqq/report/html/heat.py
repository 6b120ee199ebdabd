"""A heat map of needles and length of context: a table whose cells are coloured, and say their number as well."""

from collections.abc import Sequence
from dataclasses import dataclass

from freqq.report.comparison import BinScore, Comparison
from freqq.report.html.values import points
from freqq.report.order import bin_order

LOSS, GAIN = "#b2182b", "#2166ac"
"""The ends of matplotlib's map RdBu, which people who confuse red and green can tell apart."""

LEAST_REACH = 0.1
"""The strongest colour stands for at least so large a difference, lest noise look like an effect."""

STEPS: tuple[float, ...] = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)

STRONG = 0.8
"""From here on white text is read better on the colour than black: both have a contrast of at least 4.2 to 1."""


@dataclass(frozen=True)
class Cell:
    """A number, the colours of its cell in CSS, and the rest of what is known about it."""

    text: str
    paper: str
    ink: str
    title: str


@dataclass(frozen=True)
class HeatRow:
    """A method at a level; a cell is None where there are no samples."""

    method: str
    level: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class HeatMap:
    """Rows of methods; columns of bins, gathered by needles; the scale's ends and its colours between."""

    title: str
    caption: str
    needles: tuple[tuple[str, int], ...]
    bins: tuple[str, ...]
    rows: tuple[HeatRow, ...]
    low: str
    high: str
    steps: tuple[str, ...]


def heat_map(comparisons: Sequence[Comparison], title: str) -> HeatMap:
    """The heat map of one run: differences to no compression, or scores if there is nothing to compare with."""
    own = [c for c in comparisons if c.needles is not None]
    counts = sorted({c.needles or 0 for c in own})
    bins = {n: bin_order([b.bin for c in own if c.needles == n for b in c.bins]) for n in counts}
    at = {(c.method, c.level, c.needles, b.bin): b for c in own for b in c.bins}
    sizes = [abs(b.difference.mean) for b in at.values() if b.difference is not None and b.difference.n]
    reach = max([LEAST_REACH, *sizes]) if sizes else None
    rows = []
    for method, level in dict.fromkeys((c.method, c.level) for c in own):
        found = [at.get((method, level, n, b)) for n in counts for b in bins[n]]
        rows.append(HeatRow(method, level, tuple(None if b is None else _cell(b, reach) for b in found)))
    if reach is not None:
        caption = "Difference to no compression in points; its own row has the scores."
        ends, steps = (f"−{points(reach)}", f"+{points(reach)}"), STEPS
    else:
        caption, ends, steps = "Score in points.", ("0", "100"), STEPS[4:]
    return HeatMap(
        title,
        caption,
        tuple((f"{n} needles" if n else "no needles", len(bins[n])) for n in counts),
        tuple(_bin_name(b) for n in counts for b in bins[n]),
        tuple(rows),
        *ends,
        tuple(colours(step)[0] for step in steps),
    )


def colours(value: float) -> tuple[str, str]:
    """Colours in CSS of a cell and its text, for a value from -1 to 1; 0 is the page's own paper, light or dark."""
    share = min(abs(value), 1.0)
    paper = f"color-mix(in srgb, {LOSS if value < 0 else GAIN} {100 * share:.0f}%, var(--paper))"
    return paper, "#fff" if share >= STRONG else "var(--contrast)"


def _cell(found: BinScore, reach: float | None) -> Cell:
    """A bin's difference, or its score if `reach` is None or there is no difference."""
    score, change = found.score.mean, found.difference
    said = f"score {points(score)}, {found.n} samples"
    if reach is None:
        return Cell(points(score), *colours(score), said)
    if change is None or not change.n:
        return Cell(points(score), "var(--panel)", "var(--ink)", said)
    if change.low == change.low:
        said += f", difference {points(change.low, True)} to {points(change.high, True)}"
    return Cell(points(change.mean, True), *colours(change.mean / reach), said)


def _bin_name(name: str) -> str:
    return name.replace("_", "–") if name else "any"
