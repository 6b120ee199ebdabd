"""Diagram of the data flow: where each method acts, and which rate is measured there."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from freqq.image import ALIASES as CODEC_ALIASES
from freqq.report.figures import MARK
from freqq.runs.methods import METHODS, canonical
from freqq.tokens import ALIASES

STEPS = (
    ("chats", "turns of text,\na question, an answer"),
    ("pages", "images,\nuint8 [H, W]"),
    ("vision tower", "one token for\n28 × 28 pixels"),
    ("language model", "GLM-4V,\nweights unchanged"),
    ("score", "SequenceMatcher,\nexact match"),
)
"""The stages of the data from left to right, and a description of each."""

METHOD_1, METHOD_2 = "#0072b2", MARK
PAPER, INK, DIM = "#f2f2f2", "#222222", "#5a5a5a"
WIDTH, HEIGHT, GAP = 2.0, 1.05, 0.72
"""Size of a box, and the distance of two."""


def pipeline() -> Figure:
    """The data flow of an evaluation with both methods."""
    figure = Figure(figsize=(13.2, 5.4), layout="constrained")
    axes = figure.subplots()
    middles = [i * (WIDTH + GAP) for i in range(len(STEPS))]
    for x, (name, description) in zip(middles, STEPS, strict=True):
        _box(axes, x, 0.0, name, description, PAPER, INK)
    for x in middles[:-1]:
        _arrow(axes, (x + WIDTH / 2, 0.0), (x + WIDTH / 2 + GAP, 0.0), INK)
    first, second = (middles[1] + middles[2]) / 2, (middles[2] + middles[3]) / 2
    _method(axes, first, "method 1: image codec", _names("image"), "a page to a stream and back", METHOD_1)
    _method(
        axes, second, "method 2: token compressor", _names("token"), "a grid [h, w, C] to features [k, C]", METHOD_2
    )
    for x, text, colour in (
        (first, "rate 1\nbytes of the\npage images", METHOD_1),
        (second, "rate 2\nbytes of the\nstored tokens", METHOD_2),
        (middles[3], "rate 3\ntokens in the sequence,\nand so the cache", METHOD_2),
    ):
        axes.text(x, -1.0, text, ha="center", va="top", color=colour, fontsize=10, linespacing=1.35)
        _arrow(axes, (x, -0.95), (x, -0.12 if x != middles[3] else -HEIGHT / 2), colour, thin=True)
    axes.text(
        middles[0] - WIDTH / 2,
        1.55,
        "The same samples\nalso go through untouched:\nevery difference is paired.",
        color=DIM,
        fontsize=10,
        va="center",
    )
    axes.set_xlim(-WIDTH / 2 - 0.1, middles[-1] + WIDTH / 2 + 0.1)
    axes.set_ylim(-1.85, 2.3)
    axes.set_aspect("equal")
    axes.axis("off")
    return figure


def _names(kind: str) -> Sequence[str]:
    """The methods of a kind without their common prefix; one with an alias is called by that."""
    second = {first: name for name, first in {**CODEC_ALIASES, **ALIASES}.items()}
    found = [name for name in METHODS if name.split("-")[0] == kind and canonical(name) == name]
    return [second.get(name, name).removeprefix(f"{kind}-") for name in found]


def _box(axes: Axes, x: float, y: float, name: str, description: str, face: str, edge: str) -> None:
    _frame(axes, x, y, WIDTH, HEIGHT, facecolor=face, edgecolor=edge, linewidth=1.2)
    axes.text(x, y + 0.2, name, ha="center", va="center", fontsize=12, fontweight="bold", color=INK)
    axes.text(x, y - 0.2, description, ha="center", va="center", fontsize=9, color=DIM, linespacing=1.2)


def _method(axes: Axes, x: float, name: str, methods: Sequence[str], description: str, colour: str) -> None:
    """A box above the gap at `x`, with arrows to and from it."""
    width, height, y = WIDTH + GAP - 0.18, 1.3, 1.55
    _frame(axes, x, y, width, height, facecolor="white", edgecolor=colour, linewidth=1.8)
    axes.text(x, y + 0.45, name, ha="center", va="center", fontsize=10.5, fontweight="bold", color=colour)
    axes.text(x, y + 0.2, description, ha="center", va="center", fontsize=8.5, color=DIM)
    axes.text(
        x, y - 0.24, fill(", ".join(methods), 38), ha="center", va="center", fontsize=8.5, color=INK, linespacing=1.2
    )
    _arrow(axes, (x - 0.2, 0.05), (x - 0.2, y - height / 2), colour)
    _arrow(axes, (x + 0.2, y - height / 2), (x + 0.2, 0.05), colour)


def _frame(axes: Axes, x: float, y: float, width: float, height: float, **style: Any) -> None:
    corner = (x - width / 2, y - height / 2)
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.12", **style))


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, thin: bool = False) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=9 if thin else 13, color=colour,
            linewidth=0.9 if thin else 1.6, linestyle="--" if thin else "-", shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip
