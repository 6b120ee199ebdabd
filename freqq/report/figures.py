"""Figures of what an image codec does to a page. Drawn without any display; equal inputs give equal files."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from freqq.image.base import ImageCodec
from freqq.image.files import png
from freqq.image.measures import psnr
from freqq.pages.page import Page
from freqq.transforms.blocks import block_dct

DPI = 150
SEQUENTIAL, DIVERGING = "cividis", "RdBu_r"
"""Colour maps that people who confuse red and green can read, and that stay in order when printed in gray."""

MARK = "#d55e00"


@dataclass(frozen=True)
class Panel:
    """A page for `compare`, with what stands above it."""

    title: str
    page: Page

    @classmethod
    def of(cls, page: Page, name: str = "baseline", codec: ImageCodec | None = None) -> "Panel":
        """A page as a codec leaves it, under its stream's size and its PSNR; without a codec, under its size as PNG."""
        if codec is None:
            return cls(f"{name}\n{len(png(page)) / 1000:.1f} kB as PNG", page)
        stream = codec.encode(page)
        after = codec.decode(stream)
        return cls(f"{name}\n{len(stream) / 1000:.1f} kB, {psnr(page.pixels, after.pixels):.1f} dB", after)


def gray(page: Page) -> NDArray[np.float64]:
    """Brightness [H, W] of a page, Rec. 601."""
    pixels = page.pixels.astype(np.float64)
    return pixels if pixels.ndim == 2 else pixels @ np.array([0.299, 0.587, 0.114])


def log_spectrum(page: Page, block: int) -> NDArray[np.float64]:
    """Average over a page's blocks of log10(1 + magnitude) of their DCT: [block, block]. A blank block counts as 0."""
    return np.log10(1 + np.abs(block_dct(gray(page), block))).mean(axis=(0, 1))


def spectrum(before: Page, after: Page, block: int, title: str) -> bytes:
    """The average block spectrum of a page before and after, and their difference, as PNG."""
    first, second = log_spectrum(before, block), log_spectrum(after, block)
    # The DC of white paper is far above all else: the colours are for the rest.
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
    figure.suptitle(title)
    return as_png(figure)


def residual(before: Page, after: Page, title: str, gain: float = 5.0) -> bytes:
    """A page, what became of it, and the difference enlarged (white is none), above a part of each, as PNG."""
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
    figure.suptitle(title)
    return as_png(figure)


def compare(panels: Sequence[Panel], title: str) -> bytes:
    """A page at several levels side by side, above an enlarged part of each, as PNG."""
    figure, axes, part = _with_a_part(panels[0].page, len(panels))
    for column, panel in enumerate(panels):
        _image(axes[0, column], panel.page, panel.title)
        _image(axes[1, column], Page(panel.page.pixels[part]), "")
    figure.suptitle(title)
    return as_png(figure)


def _with_a_part(page: Page, columns: int) -> tuple[Figure, Any, tuple[slice, slice]]:
    """A figure of pages like this one above an enlarged part of each, its axes [2, columns], framed, and the part."""
    top, left, height, width = busiest(page)
    figure = _page_figure(page, columns, extra=2.4 * height / width + 0.3)
    ratios = [page.pixels.shape[0] / page.pixels.shape[1], height / width]
    axes = figure.subplots(2, columns, squeeze=False, height_ratios=ratios)
    for column in range(columns):
        frame = Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor=MARK, linewidth=1)
        axes[0, column].add_patch(frame)
    return figure, axes, np.s_[top : top + height, left : left + width]


def busiest(page: Page, fraction: float = 0.25) -> tuple[int, int, int, int]:
    """Top, left, height and width of the part of a page with the strongest contrast, of a fraction of its width."""
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
    # Very long pages would make a figure that no viewer opens.
    tall = min(column * height / width, 14.0)
    return Figure(figsize=(column * columns, tall + extra + 0.7), layout="compressed")


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


def as_png(figure: Figure) -> bytes:
    """The file's bytes depend on the picture alone: no date, no version of the program."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    return file.getvalue()
