"""A figure of one page's vision tokens, and of what a compressor leaves of them."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from freqq.pages.page import Page
from freqq.report.figures import MARK, SEQUENTIAL, titled
from freqq.tokens.grid import CompressedGrid, spread
from freqq.transforms.bands import radial_frequency
from freqq.transforms.dct import dct2

BINS = 24
"""Rings of radial frequency; fewer on a small grid."""

BEFORE, AFTER = "#1b4f72", MARK


def radial_energy(grid: Tensor, reference: Tensor, bins: int = BINS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean energy of a grid's DCT in rings of equal width of radial frequency, the DC left out, channels equal.

    Each channel is divided by its variance in the grid `reference`: otherwise a few outlier channels would be the whole
    curve. So the curves of a grid and of what became of it can be compared.

    Returns
    -------
    centres : float64 [n], fractions of the highest frequency; n is at most `bins`: empty rings are left out
    energy : float64 [n], 1 everywhere for white noise that is its own reference
    """
    values, before = (g.detach().cpu().double() for g in (grid, reference))
    h, w, _ = values.shape
    variance, mean = torch.var_mean(before, dim=(0, 1), correction=0)
    varies = variance > 1e-12 * mean.square().clamp(min=1e-30)
    if h * w == 1 or not bool(varies.any()):
        return np.zeros(0), np.zeros(0)
    energy = (dct2(values).square()[..., varies] / variance[varies]).mean(-1).numpy().ravel()[1:]
    # Per coefficient, of which all but the DC share the variance of h·w cells.
    energy *= (h * w - 1) / (h * w)
    ring = np.minimum((radial_frequency(h, w).ravel()[1:] * bins).astype(int), bins - 1)
    counts = np.bincount(ring, minlength=bins)
    sums = np.bincount(ring, energy, minlength=bins)
    found = counts > 0
    return ((np.arange(bins) + 0.5) / bins)[found], sums[found] / counts[found]


def channel_peaks(grid: Tensor) -> NDArray[np.float64]:
    """The largest magnitude of each channel, in descending order, over the median of them."""
    peaks = grid.detach().cpu().double().abs().amax((0, 1)).sort(descending=True).values
    return (peaks / peaks.median().clamp(min=1e-30)).numpy()


def whitened_errors(grid: Tensor, restored: Tensor) -> NDArray[np.float64]:
    """Error [h, w] of each token: the root mean square over the channels, in their standard deviations."""
    before, after = grid.detach().cpu().double(), restored.detach().cpu().double()
    deviation = before.std((0, 1), correction=0)
    varies = deviation > 1e-6 * before.abs().amax((0, 1))
    if not bool(varies.any()):
        return np.zeros(before.shape[:2])
    return ((after - before)[..., varies] / deviation[varies]).square().mean(-1).sqrt().numpy()


def tokens(page: Page, grid: Tensor, compressed: CompressedGrid, title: str) -> Figure:
    """Energy by radial frequency, channel outliers, the cells that are kept, and the error on the grid.

    Parameters
    ----------
    page : the page
    grid : [h, w, C], its tokens
    compressed : what a compressor left of them
    """
    h, w, _ = grid.shape
    restored = spread(compressed, (h, w))
    figure = Figure(figsize=(11, 4.6 + 4.6 * min(h / w, 2.0)), layout="constrained")
    axes = figure.subplots(2, 2, height_ratios=[4.0, 4.6 * min(h / w, 2.0) + 0.4])
    _spectrum(axes[0, 0], grid, restored)
    _outliers(axes[0, 1], grid)
    _kept(axes[1, 0], page, compressed, (h, w))
    errors = whitened_errors(grid, restored)
    shown = axes[1, 1].imshow(errors, cmap=SEQUENTIAL, vmin=0, vmax=max(float(errors.max()), 1e-6), aspect="equal")
    _grid_axes(axes[1, 1], f"error of what is left, mean {errors.mean():.2g}")
    figure.colorbar(shown, ax=axes[1, 1], label="standard deviations of a channel", shrink=0.8)
    return titled(figure, title)


def _spectrum(axes: Axes, grid: Tensor, restored: Tensor) -> None:
    for values, colour, style, label in ((grid, BEFORE, "-", "before"), (restored, AFTER, "--", "what is left")):
        centres, energy = radial_energy(values, grid)
        # A logarithm has no place for what was removed altogether.
        axes.plot(centres, np.where(energy > 1e-6, energy, np.nan), style, color=colour, marker="o", ms=3, label=label)
    axes.set_yscale("log")
    axes.set_xlim(0, 1)
    axes.set_xlabel("radial frequency, of the grid's highest")
    axes.set_ylabel("mean energy (white noise: 1)")
    axes.set_title("energy by frequency, channels equal")
    axes.legend()


def _outliers(axes: Axes, grid: Tensor) -> None:
    peaks = channel_peaks(grid)
    axes.plot(np.arange(1, len(peaks) + 1), np.maximum(peaks, 1e-3), color=BEFORE)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.axhline(10, color=AFTER, linewidth=1, linestyle=":")
    axes.set_xlabel("channel, by its largest magnitude")
    axes.set_ylabel("largest magnitude, of the median channel's")
    axes.set_title(f"outlier channels: {int((peaks > 10).sum())} of {len(peaks)} above 10 medians")


def _kept(axes: Axes, page: Page, compressed: CompressedGrid, shape: tuple[int, int]) -> None:
    """The page, dimmed where its cells were dropped; a smaller grid is drawn as the areas of its tokens."""
    h, w = shape
    axes.imshow(page.pixels, cmap="gray", vmin=0, vmax=255, extent=(-0.5, w - 0.5, h - 0.5, -0.5), aspect="equal")
    count = len(compressed.features)
    if compressed.kept is not None:
        dropped = np.ones(h * w)
        dropped[compressed.kept.cpu().numpy()] = np.nan
        axes.imshow(dropped.reshape(h, w), cmap="Greys", vmin=0, vmax=1.4, alpha=0.75, aspect="equal")
        title = f"{count} of {h * w} tokens kept"
    else:
        rows, columns = compressed.arranged.shape[:2]
        _lines(axes, rows, columns, shape)
        title = f"{h} x {w} tokens" if (rows, columns) == shape else f"{h} x {w} tokens become {rows} x {columns}"
    _grid_axes(axes, title)
    axes.set_xlim(-0.5, w - 0.5)
    axes.set_ylim(h - 0.5, -0.5)


def _lines(axes: Axes, rows: int, columns: int, shape: tuple[int, int]) -> None:
    h, w = shape
    edges: Sequence[float] = [i * h / rows - 0.5 for i in range(1, rows)]
    axes.hlines(edges, -0.5, w - 0.5, color=MARK, linewidth=0.5)
    axes.vlines([i * w / columns - 0.5 for i in range(1, columns)], -0.5, h - 0.5, color=MARK, linewidth=0.5)


def _grid_axes(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.set_xlabel("column")
    axes.set_ylabel("row")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
