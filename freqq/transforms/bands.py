"""Frequency bands of a grid of any size, by radial frequency."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BANDS = ("low", "mid", "high")


def radial_frequency(h: int, w: int) -> NDArray[np.float64]:
    """Radial frequency of each DCT coefficient [h, w] as a fraction of the grid's own highest.

    Coefficient (i, j) has sqrt(i² + j²) / sqrt((h - 1)² + (w - 1)²): 0 at DC, 1 in the far corner. A single row or
    column thus has j / (w - 1) or i / (h - 1), and a single cell has only a DC, at 0.
    """
    radius = np.hypot(np.arange(h)[:, None], np.arange(w)[None])
    return radius / max(radius[-1, -1], 1.0)


def band_masks(h: int, w: int, low: float, mid: float) -> NDArray[np.bool_]:
    """Which coefficients are in the low (under `low`), middle (under `mid`) and high band: bool [3, h, w].

    Each coefficient is in exactly one band. The edges are fractions as in `radial_frequency`; a coefficient that lies
    on an edge belongs above it, whatever the last bit of its rounding says.
    """
    fraction = radial_frequency(h, w)
    under_low, under_mid = fraction < low - 1e-9, fraction < mid - 1e-9
    return np.stack([under_low, under_mid & ~under_low, ~(under_low | under_mid)])


@lru_cache(maxsize=256)
def band_order(h: int, w: int, low: float, mid: float) -> tuple[NDArray[np.int64], tuple[int, int, int]]:
    """Raster indices of all coefficients, sorted by band, and how many of each band there are.

    The DC comes first and is in no count: it is the mean of a channel, says nothing about the size of the rest of its
    band, and is coded apart. Within a band indices ascend. Cached: do not write to it.
    """
    masks = band_masks(h, w, low, mid).reshape(3, -1)
    masks[:, 0] = False
    bands = [np.flatnonzero(mask) for mask in masks]
    order = np.concatenate([[0], *bands])
    order.setflags(write=False)
    return order, (len(bands[0]), len(bands[1]), len(bands[2]))
