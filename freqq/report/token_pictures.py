"""Figures of one page's vision tokens before and after a compressor, and the page with marks on the tokens."""

from collections.abc import Sequence
from typing import Any

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
    """Mean energy of a grid's DCT in rings of radial frequency of equal width, without the DC.

    Each channel is divided by its variance in the grid `reference`; otherwise a few outlier channels would dominate.
    Curves of a grid before and after compression use the same reference.

    Returns
    -------
    centres : float64 [n], fractions of the highest frequency; n is at most `bins`, without empty rings
    energy : float64 [n], 1 everywhere for white noise with itself as the reference
    """
    values, before = (g.detach().cpu().double() for g in (grid, reference))
    h, w, _ = values.shape
    variance, mean = torch.var_mean(before, dim=(0, 1), correction=0)
    varies = variance > 1e-12 * mean.square().clamp(min=1e-30)
    if h * w == 1 or not bool(varies.any()):
        return np.zeros(0), np.zeros(0)
    energy = (dct2(values).square()[..., varies] / variance[varies]).mean(-1).numpy().ravel()[1:]
    # Per coefficient: all but the DC share the variance of h·w cells.
    energy *= (h * w - 1) / (h * w)
    ring = np.minimum((radial_frequency(h, w).ravel()[1:] * bins).astype(int), bins - 1)
    counts = np.bincount(ring, minlength=bins)
    sums = np.bincount(ring, energy, minlength=bins)
    found = counts > 0
    return ((np.arange(bins) + 0.5) / bins)[found], sums[found] / counts[found]


def channel_peaks(grid: Tensor) -> NDArray[np.float64]:
    """The largest magnitude of each channel, in descending order, divided by their median."""
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
    """A figure of energy by radial frequency, channel outliers, the kept cells, and the error on the grid.

    Parameters
    ----------
    page : the page
    grid : [h, w, C], its tokens
    compressed : its compressed tokens
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
        # Leave out removed frequencies, which a logarithmic axis cannot show.
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
    """The page with dropped cells dimmed, or with the outlines of the tokens of a smaller grid."""
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


Pixels = NDArray[np.uint8]

LEAST_SIDE = 500
"""Smaller pages, in pixels, are enlarged by an integer so that marks do not cover their letters."""

PAPER, INK = 226, 150
"""Gray values that white and black become in dropped cells, below the stripes."""

VERMILION = np.array([213, 94, 0])
"""`MARK` as RGB."""

DARKEST = 0.65
"""Opacity of the mark on the cell with the largest error."""


def token_pixels(page: Page, grid: Tensor, compressed: CompressedGrid) -> tuple[Pixels, str]:
    """An RGB image of a page with marks for the effect of a token compressor, and a caption.

    Dropped cells are pale and striped; a smaller grid is drawn as the outlines of its tokens; if all tokens are kept,
    changed ones are orange, the stronger the more they changed.

    Parameters
    ----------
    grid : [h, w, C], the page's tokens
    compressed : its compressed tokens
    """
    h, w, _ = grid.shape
    rgb = _enlarged(page)
    count = len(compressed.features)
    if compressed.kept is not None and count < h * w:
        dropped = np.ones(h * w, bool)
        dropped[compressed.kept.cpu().numpy()] = False
        return _striped(
            rgb, _over(dropped.reshape(h, w), rgb)
        ), f"{count} of {h * w} tokens kept; the others are striped"
    rows, columns = compressed.arranged.shape[:2] if compressed.kept is None else (h, w)
    if (rows, columns) != (h, w):
        return _outlined(rgb, rows, columns), f"{h} × {w} tokens became {rows} × {columns}, whose outlines are drawn"
    errors = whitened_errors(grid, spread(compressed, (h, w)))
    worst = float(errors.max())
    if worst < 1e-6:
        return rgb, f"all {h * w} tokens kept, and none changed"
    share = (DARKEST * _over(errors / worst, rgb))[..., None]
    tinted = (rgb * (1 - share) + VERMILION * share).round().astype(np.uint8)
    how = f"{errors.mean():.2g} standard deviations on average, {worst:.2g} at most"
    return tinted, f"all {h * w} tokens kept; the stronger the orange, the more a token changed: {how}"


def _enlarged(page: Page) -> Pixels:
    pixels = page.pixels if page.pixels.ndim == 3 else np.repeat(page.pixels[..., None], 3, axis=2)
    factor = max(1, LEAST_SIDE // max(pixels.shape[:2]))
    return np.ascontiguousarray(pixels.repeat(factor, axis=0).repeat(factor, axis=1))


def _over(cells: NDArray[Any], rgb: Pixels) -> NDArray[Any]:
    """Values [h, w] of cells for each pixel; the grid covers the page evenly, as in the model's resizing."""
    rows, columns = (
        np.minimum(np.arange(size) * n // size, n - 1) for size, n in zip(rgb.shape[:2], cells.shape, strict=True)
    )
    return cells[rows][:, columns]


def _striped(rgb: Pixels, dropped: NDArray[np.bool_]) -> Pixels:
    pale = INK + rgb.astype(np.float64) * (PAPER - INK) / 255
    rows, columns = np.indices(dropped.shape)
    pale[(rows + columns) % 9 < 1] = INK
    return np.where(dropped[..., None], pale.round().astype(np.uint8), rgb)


def _outlined(rgb: Pixels, rows: int, columns: int) -> Pixels:
    drawn = rgb.copy()
    height, width = rgb.shape[:2]
    drawn[[height * i // rows for i in range(1, rows)]] = VERMILION
    drawn[:, [width * i // columns for i in range(1, columns)]] = VERMILION
    return drawn
