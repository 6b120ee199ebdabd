"""Frequency bands of a grid of any size, by radial frequency."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BANDS = ("low", "mid", "high")


def radial_frequency(h: int, w: int) -> NDArray[np.float64]:
    """Radial frequency of each DCT coefficient [h, w] as a fraction of the grid's highest.

    Coefficient (i, j) has sqrt(i² + j²) / sqrt((h - 1)² + (w - 1)²): 0 at DC, 1 in the far corner. In a single row or
    column this is j / (w - 1) or i / (h - 1); a single cell has only a DC.
    """
    radius = np.hypot(np.arange(h)[:, None], np.arange(w)[None])
    return radius / max(radius[-1, -1], 1.0)


def band_masks(h: int, w: int, low: float, mid: float) -> NDArray[np.bool_]:
    """Masks of the coefficients in the low (below `low`), middle (below `mid`) and high band: bool [3, h, w].

    Each coefficient is in exactly one band. Edges are fractions as in `radial_frequency`; a coefficient on an edge
    belongs above it, independently of rounding.
    """
    fraction = radial_frequency(h, w)
    under_low, under_mid = fraction < low - 1e-9, fraction < mid - 1e-9
    return np.stack([under_low, under_mid & ~under_low, ~(under_low | under_mid)])


@lru_cache(maxsize=256)
def band_order(h: int, w: int, low: float, mid: float) -> tuple[NDArray[np.int64], tuple[int, int, int]]:
    """Raster indices of all coefficients, sorted by band, and the number in each band.

    The DC comes first and is not counted: as the mean of a channel it is coded separately. Indices ascend within a
    band. Cached: do not write to it.
    """
    masks = band_masks(h, w, low, mid).reshape(3, -1)
    masks[:, 0] = False
    bands = [np.flatnonzero(mask) for mask in masks]
    order = np.concatenate([[0], *bands])
    order.setflags(write=False)
    return order, (len(bands[0]), len(bands[1]), len(bands[2]))
