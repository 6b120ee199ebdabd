"""Figures as inline SVG in the page's colours, with selectable text; bars of times and memory."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from textwrap import TextWrapper
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from freqq.report import wording

INK, RULE = "#010101", "#020202"
"""Placeholders for the page's colours of text and thin lines, which differ between light and dark mode."""

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f")
"""Okabe and Ito's colours, as in `freqq.report.pareto`: placeholders for the page's, which are slightly darker in light
mode, where thin bright lines would vanish, and brighter in dark mode."""

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
    """A figure (size in inches) with one pair of axes; create and draw it inside `mpl.rc_context(SETTINGS)`."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="none")
    return figure, figure.subplots()


def inline(figure: Figure, name: str, label: str) -> str:
    """A figure as an ``<svg>`` element; deterministic.

    Parameters
    ----------
    name : str
        Prefix of all ids: letters and digits, unique on the page.
    label : str
        Accessible description of the figure.
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


MOST_BARS = 24
WRAPPER = TextWrapper(22)
"""Wraps the names of bars, which are paths and names of methods, also after these signs."""
WRAPPER.wordsep_re = re.compile(r"(\s+|[^\s/_+-]*[/_+-]+)")

STAGES = (
    ("vision tower", "vision_ms", 0, ""),
    ("image codec", "codec_ms", 4, "///"),
    ("token compressor", "compress_ms", 1, "xxx"),
    ("prefill", "prefill_ms", 2, "..."),
    ("writing the answer", "answer_ms", 5, "\\\\\\"),
)
"""Parts of a sample's time: name, cost, index of the colour, and hatching."""

MEMORY = (("prompt", "kv_prompt_bytes", 0, ""), ("answer", "kv_answer_bytes", 5, "\\\\\\"))
"""Parts of the KV cache, in the same form."""


Bar = tuple[str, Mapping[str, float | None]]
"""Method and level, and the means of its costs (None: not measured)."""


def latency(bars: Sequence[Bar], name: str) -> str:
    """Stacked bars of the time per sample, as SVG."""
    return _bars(
        bars, name, STAGES, 1.0, "ms a sample", lambda ms: f"{ms:,.0f}", "Mean time of a sample in milliseconds"
    )


def memory(bars: Sequence[Bar], name: str) -> str:
    """Stacked bars of the KV cache of prompt and answer, as SVG."""
    what = "Mean size of the KV cache of a sample"
    return _bars(bars, name, MEMORY, 1e-6, "MB of KV cache a sample", lambda mb: wording.size(mb * 1e6), what)


def _bars(
    bars: Sequence[Bar], name: str, parts: Sequence[tuple[str, str, int, str]], unit: float, axis: str,
    shown: Callable[[float], str], what: str,
) -> str:  # fmt: skip
    bars = bars[:MOST_BARS]
    lines = [[line for part in label.split(", ") for line in WRAPPER.wrap(part)] or [""] for label, _ in bars]
    height = np.array([max(len(own), 1.3) for own in lines])
    with mpl.rc_context(SETTINGS):
        figure, axes = new_figure(3.9, 1.2 + 0.145 * float(height.sum()))
        places, left = np.cumsum(height) - height / 2, np.zeros(len(bars))
        for part, cost, colour, hatch in parts:
            width = unit * np.array([costs.get(cost) or 0.0 for _, costs in bars])
            if not width.any():
                continue
            axes.barh(
                places, width, 0.9, left=left, label=part, color=SERIES[colour], hatch=hatch, edgecolor=INK,
                linewidth=0.4,
            )  # fmt: skip
            left += width
        for place, total in zip(places, left, strict=True):
            axes.annotate(shown(total), (total, place), (3, 0), textcoords="offset points", va="center", fontsize=8)
        # Names of folders may hold dollar signs, which are no formula.
        axes.set_yticks(places, ["\n".join(own) for own in lines], fontsize=8, parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(float(height.sum()), 0)
        # Room for the number after the longest bar.
        axes.set_xlim(0, left.max(initial=0) * 1.3 or 1)
        axes.set_xlabel(axis)
        if left.any():
            figure.legend(
                loc="outside upper left", ncols=2, frameon=False, fontsize=8, handlelength=1.4, columnspacing=1
            )
        totals = "; ".join(f"{label} {shown(total)}" for (label, _), total in zip(bars, left, strict=True))
        return inline(figure, name, f"{what}. {totals}.")
