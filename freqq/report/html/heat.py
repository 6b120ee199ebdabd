"""A heat map of needles and length of context: a table whose cells are coloured, and say their number as well."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.colors import Colormap, to_hex

from freqq.report.evidence import BinScore, Comparison
from freqq.report.html.values import points
from freqq.report.results import bin_order

DIVERGING, SEQUENTIAL = "RdBu", "cividis"
"""Told apart by people who confuse red and green; losses are red."""

LEAST_REACH = 0.1
"""The strongest colour stands for at least so large a difference, lest noise look like an effect."""

STEPS = 9
DARK = 0.179
"""Luminance at which white and black text have the same contrast (WCAG 2.2, contrast ratio)."""


@dataclass(frozen=True)
class Cell:
    """A number, the colours of its cell, and the rest of what is known about it."""

    text: str
    paper: str
    ink: str
    title: str


@dataclass(frozen=True)
class HeatRow:
    """A method at a level; None where it has no samples."""

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
    differences = [abs(b.difference.mean) for b in at.values() if b.difference is not None and b.difference.n]
    reach = max([LEAST_REACH, *differences])
    colours = mpl.colormaps[DIVERGING if differences else SEQUENTIAL]
    rows = []
    for method, level in dict.fromkeys((c.method, c.level) for c in own):
        found = [at.get((method, level, n, b)) for n in counts for b in bins[n]]
        name = ("no compression", "") if method == "none" else (method, level)
        rows.append(
            HeatRow(*name, tuple(None if b is None else _cell(b, colours, reach, bool(differences)) for b in found))
        )
    if differences:
        caption = "Difference to no compression in points; its own row has the scores"
        ends = f"−{points(reach)}", f"+{points(reach)}"
    else:
        caption, ends = "Score in points", ("0", "100")
    return HeatMap(
        title,
        caption,
        tuple((f"{n} needles" if n else "no needles", len(bins[n])) for n in counts),
        tuple(_bin_name(b) for n in counts for b in bins[n]),
        tuple(rows),
        *ends,
        tuple(to_hex(colours(i / (STEPS - 1))) for i in range(STEPS)),
    )


def _cell(found: BinScore, colours: Colormap, reach: float, paired: bool) -> Cell:
    change = found.difference
    said = f"score {points(found.score.mean)}, {found.n} samples"
    if not paired:
        return _coloured(points(found.score.mean), colours, found.score.mean, said)
    if change is None or not change.n:
        return Cell(points(found.score.mean), "var(--panel)", "var(--ink)", said)
    if change.low == change.low:
        said += f", difference {points(change.low, True)} to {points(change.high, True)}"
    return _coloured(points(change.mean, True), colours, 0.5 + change.mean / reach / 2, said)


def _coloured(text: str, colours: Colormap, value: float, title: str) -> Cell:
    colour = colours(min(max(value, 0.0), 1.0))[:3]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    dark = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] < DARK
    return Cell(text, to_hex(colour), "#ffffff" if dark else "#000000", title)


def _bin_name(name: str) -> str:
    return name.replace("_", "–") if name else "any"
