"""A matplotlib figure as SVG to stand inside a page of HTML: its colours are the page's, its text is text."""

import io
import re
from collections.abc import Mapping
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, RULE = "#010101", "#020202"
"""Stand for the page's colours of text and of thin lines, which differ in light and dark."""

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f")
"""Okabe and Ito's, as in `freqq.report.pareto`. They stand for the page's, which are a little darker on white paper,
where thin lines of the brightest two would vanish, and brighter in the dark."""

VARIABLES: Mapping[str, str] = {
    INK: "var(--ink)",
    RULE: "var(--rule)",
    **{c: f"var(--series-{i})" for i, c in enumerate(SERIES)},
}

SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "freqq",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.7,
}


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of so many inches with one pair of axes; to be made and drawn inside of `mpl.rc_context(SETTINGS)`."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="none")
    return figure, figure.subplots()


def inline(figure: Figure, name: str, label: str) -> str:
    """A figure as an ``<svg>`` element.

    Equal figures give equal text. Every id begins with `name`, so that figures on one page do not share any.

    Parameters
    ----------
    name : str
        Of letters and digits, and another for each figure of a page.
    label : str
        What the figure shows, for people who do not see it.
    """
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "freqq"}):
        figure.savefig(file, format="svg", metadata=nothing, transparent=True)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(url\(|href=")#([^)"]+)', rf"\1#{name}-\2", text)
    text = re.sub(r"#[0-9a-f]{6}", lambda found: VARIABLES.get(found[0], found[0]), text)
    size = re.search(r'<svg[^>]*? width="([0-9.]+)pt" height="([0-9.]+)pt"', text)
    width, height = (float(side) for side in size.groups()) if size else (1.0, 1.0)
    opening = (
        f'<svg class="chart" role="img" aria-label="{escape(label)}" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width * 4 / 3:.0f}" height="{height * 4 / 3:.0f}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return re.sub(r"<svg[^>]*>", lambda found: opening, text, count=1).strip()
