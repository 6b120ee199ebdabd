"""Figures of the effect of an image codec on a page, and of the lengths of chats.

Drawn without a display, as PNG, PDF or SVG; deterministic.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from freqq.image.base import ImageCodec
from freqq.image.files import png
from freqq.image.measures import psnr
from freqq.pages.page import Page
from freqq.report.wording import size
from freqq.transforms.blocks import block_dct

DPI = 150
SEQUENTIAL, DIVERGING = "cividis", "RdBu_r"
"""Colour maps that are safe for colour blindness and monotonic in gray."""

MARK, BAR = "#d55e00", "#0072b2"
BINS = 30

FORMATS: dict[str, dict[str, Any]] = {
    "png": {"metadata": {"Software": None}},
    "pdf": {"metadata": {"Creator": None, "Producer": None, "CreationDate": None}},
    "svg": {"metadata": {"Creator": None, "Date": None}},
}
"""File formats of figures, and the metadata that keep dates and program versions out of each."""

TALLEST, NARROWEST = 14.0, 2.4
"""Limits in inches: viewers fail on very tall figures, and narrower columns have no room for a title."""


@dataclass(frozen=True)
class Panel:
    """A page for `compare` with its title."""

    title: str
    page: Page

    @classmethod
    def of(cls, page: Page, name: str = "baseline", codec: ImageCodec | None = None) -> "Panel":
        """A page after a codec, titled with stream size and PSNR; without a codec, with its size as PNG."""
        if codec is None:
            return cls(f"{name}\n{size(len(png(page)))} as PNG", page)
        stream = codec.encode(page)
        after = codec.decode(stream)
        return cls(f"{name}\n{size(len(stream))}, {psnr(page.pixels, after.pixels):.1f} dB", after)


def gray(page: Page) -> NDArray[np.float64]:
    """Brightness [H, W] of a page, Rec. 601."""
    pixels = page.pixels.astype(np.float64)
    return pixels if pixels.ndim == 2 else pixels @ np.array([0.299, 0.587, 0.114])


def log_spectrum(page: Page, block: int) -> NDArray[np.float64]:
    """Average over a page's blocks of log10(1 + magnitude) of their DCT: [block, block]."""
    return np.log10(1 + np.abs(block_dct(gray(page), block))).mean(axis=(0, 1))


def spectrum(before: Page, after: Page, block: int, title: str) -> Figure:
    """The average block spectrum of a page before and after, and their difference."""
    first, second = log_spectrum(before, block), log_spectrum(after, block)
    # Scale the colours without the DC, which is far above the rest on white pages.
    others = np.concatenate([first.ravel()[1:], second.ravel()[1:]])
    reach = max(float(np.abs(second - first).max()), 0.01)
    figure = Figure(figsize=(13, 4.1), layout="compressed")
    axes: Sequence[Axes] = figure.subplots(1, 3, sharey=True)
    scale = {"cmap": SEQUENTIAL, "vmin": float(others.min()), "vmax": float(others.max()) + 0.01}
    shown = _cells(axes[0], first, "before", scale)
    _cells(axes[1], second, "after", scale)
    figure.colorbar(shown, ax=list(axes[:2]), label="mean log₁₀(1 + magnitude)", extend="max", pad=0.02)
    axes[0].set_ylabel("vertical frequency")
    change = _cells(axes[2], second - first, "after − before", {"cmap": DIVERGING, "vmin": -reach, "vmax": reach})
    figure.colorbar(change, ax=axes[2], label="change", pad=0.02)
    return titled(figure, title)


def residual(before: Page, after: Page, title: str, gain: float = 5.0) -> Figure:
    """A page before and after, and the amplified difference (white: none), above an enlarged part of each."""
    difference = gain * (gray(after) - gray(before))
    figure, axes, part = _with_a_part(before, 3)
    for row, window in enumerate((np.s_[:, :], part)):
        _image(axes[row, 0], Page(before.pixels[window]), "" if row else "original")
        _image(axes[row, 1], Page(after.pixels[window]), "" if row else "compressed")
        shown = axes[row, 2].imshow(
            difference[window], cmap=DIVERGING, vmin=-255, vmax=255, interpolation="antialiased"
        )
        _bare(axes[row, 2], "" if row else f"difference × {gain:g}")
    bar = figure.colorbar(shown, ax=axes[:, 2], shrink=0.5, aspect=30, pad=0.02, ticks=[-255, 0, 255])
    bar.ax.set_yticklabels([f"−{255 / gain:g} darker", "0", f"+{255 / gain:g} lighter"])
    return titled(figure, title)


def compare(panels: Sequence[Panel], title: str) -> Figure:
    """A page at several levels, above an enlarged part of each."""
    figure, axes, part = _with_a_part(panels[0].page, len(panels))
    for column, panel in enumerate(panels):
        _image(axes[0, column], panel.page, panel.title)
        _image(axes[1, column], Page(panel.page.pixels[part]), "")
    return titled(figure, title)


def _with_a_part(page: Page, columns: int) -> tuple[Figure, Any, tuple[slice, slice]]:
    """A figure for pages like this one above an enlarged part of each, its axes [2, columns], and the part's slices."""
    top, left, height, width = busiest(page)
    figure = _page_figure(page, columns, extra=2.4 * height / width + 0.3)
    ratios = [page.pixels.shape[0] / page.pixels.shape[1], height / width]
    axes = figure.subplots(2, columns, squeeze=False, height_ratios=ratios)
    for column in range(columns):
        frame = Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor=MARK, linewidth=1)
        axes[0, column].add_patch(frame)
    return figure, axes, np.s_[top : top + height, left : left + width]


def busiest(page: Page, fraction: float = 0.25) -> tuple[int, int, int, int]:
    """Top, left, height and width of the part of a page with the most contrast, for a fraction of its width."""
    plane = gray(page)
    side_h = max(1, min(plane.shape[0], round(plane.shape[1] * fraction * 0.6)))
    side_w = max(1, round(plane.shape[1] * fraction))
    contrast = np.abs(np.diff(plane, axis=1, prepend=plane[:, :1]))
    total = np.pad(contrast.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = total[side_h:, side_w:] - total[:-side_h, side_w:] - total[side_h:, :-side_w] + total[:-side_h, :-side_w]
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(top), int(left), side_h, side_w


def _page_figure(page: Page, columns: int, extra: float = 0.0) -> Figure:
    height, width = page.pixels.shape[:2]
    column = min(4.0, 16 / columns)
    tall = min(column * height / width, TALLEST)
    # Narrow pages keep their columns apart, so that titles do not overlap.
    layout: Literal["compressed", "constrained"] = (
        "compressed" if tall * width / height >= min(NARROWEST, column) else "constrained"
    )
    return Figure(figsize=(column * columns, tall + extra + 0.7), layout=layout)


def _cells(axes: Axes, values: NDArray[np.float64], title: str, scale: dict[str, Any]) -> Any:
    shown = axes.imshow(values, interpolation="nearest", **scale)
    axes.set_title(title)
    axes.set_xlabel("horizontal frequency")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return shown


def _image(axes: Axes, page: Page, title: str) -> None:
    axes.imshow(page.pixels, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    _bare(axes, title)


def _bare(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])


def edges(values: Sequence[int]) -> tuple[NDArray[np.float64], bool]:
    """Edges of a histogram's bins, and whether they are logarithmic, as for lengths that differ by a factor of 100."""
    low, high = max(1, min(values)), max(values)
    if high >= 100 * low:
        return np.geomspace(low, high * 1.001, BINS + 1), True
    # Bins of equal integer width, so that each covers the same number of integers.
    width = max(1, -(-(high + 1 - low) // BINS))
    return np.arange(low, high + width + 1, width, dtype=np.float64), False


def lengths(chats: Sequence[int], messages: Sequence[int], title: str) -> Figure:
    """Histograms of the characters per chat and per message, with medians. Neither may be empty."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    _histogram(left, chats, f"{len(chats):,} chats", "characters in a chat")
    _histogram(right, messages, f"{len(messages):,} messages", "characters in a message")
    return titled(figure, title)


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
    # Beside the title, clear of the bars.
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)


def titled(figure: Figure, title: str) -> Figure:
    """Add a wrapped title above everything else in the figure; dollar signs, as in a file's name, are no formula."""
    text = fill(title, max(16, int(9 * figure.get_figwidth())), break_on_hyphens=False)
    figure.suptitle(text, y=1.01, va="bottom", parse_math=False)
    return figure


def rendered(figure: Figure, format: str = "png") -> bytes:
    """A figure as a file of one of `FORMATS`; deterministic. Dollar signs in the names of a legend are no formula."""
    for text in (text for legend in figure.findobj(Legend) for text in legend.get_texts()):
        text.set_parse_math(False)
    file = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "freqq", "pdf.fonttype": 42}):
        figure.savefig(file, format=format, dpi=DPI, bbox_inches="tight", **FORMATS[format])
    return file.getvalue()
