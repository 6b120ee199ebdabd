"""How long the chats of a data set are: the study's two histograms."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from freqq.report.figures import MARK, as_png

BINS = 30
BAR = "#0072b2"


def edges(values: Sequence[int]) -> tuple[NDArray[np.float64], bool]:
    """Edges of a histogram's bins, and whether they are spaced by ratio: so if lengths differ a hundredfold."""
    low, high = max(1, min(values)), max(values)
    if high >= 100 * low:
        return np.geomspace(low, high * 1.001, BINS + 1), True
    # Whole numbers in bins of equal whole width: no bin is fuller only because one more number falls into it.
    width = max(1, -(-(high + 1 - low) // BINS))
    return np.arange(low, high + width + 1, width, dtype=np.float64), False


def lengths(chats: Sequence[int], messages: Sequence[int], title: str) -> bytes:
    """Histograms of the characters of each chat and of each message, with the median, as PNG. Neither may be empty."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    _histogram(left, chats, f"{len(chats):,} chats", "characters in a chat")
    _histogram(right, messages, f"{len(messages):,} messages", "characters in a message")
    figure.suptitle(title)
    return as_png(figure)


def _histogram(axes: Axes, values: Sequence[int], title: str, label: str) -> None:
    bins, by_ratio = edges(values)
    axes.hist(np.maximum(values, 1), bins=bins.tolist(), color=BAR, edgecolor="white", linewidth=0.4)
    if by_ratio:
        axes.set_xscale("log")
    median = float(np.median(values))
    axes.axvline(median, color=MARK, linewidth=1.5, label=f"median {median:,.12g}")
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(label)
    axes.set_ylabel("number")
    # Beside the title, where no bar is.
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
