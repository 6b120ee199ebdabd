"""Orthonormal DCT-II of a token grid and its inverse, the DCT-III, as two matrix products.

For grids of up to a few dozen cells per side, a product with the n x n basis is faster than a fast transform: it reads
the contiguous channels in order and runs at full speed on every device.
"""

from functools import lru_cache

import torch
from torch import Tensor

from freqq.transforms.blocks import basis

CHUNK = 512
"""Channels transformed at a time on a CPU: a page of some hundred cells then stays close to a core."""

LONG = 2048
"""A longer column takes the fast Fourier transform: the basis of 16,384 cells would take gigabytes."""


def at_once(grid: Tensor) -> int:
    """How many channels of a grid [h, w, C] to transform at a time; all on an accelerator, for fewer kernels."""
    return CHUNK if grid.device.type == "cpu" else grid.shape[2]


@lru_cache(maxsize=64)
def dct_matrix(n: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
    """The orthonormal DCT-II basis [n, n], one frequency per row. Cached: do not write to it."""
    return torch.tensor(basis(n), dtype=dtype, device=device)


def dct2(grid: Tensor, lowest: tuple[int, int] | None = None) -> Tensor:
    """Two-dimensional DCT-II of every channel.

    Parameters
    ----------
    grid : float [h, w, C]
        float64 is transformed in float64, everything else in float32.
    lowest : (h', w'), optional
        Only so many of the lowest vertical and horizontal frequencies are computed, for as much less work.

    Returns
    -------
    coefficients : [h, w, C] or [h', w', C]
        Coefficient [0, 0] is sqrt(h·w) times the mean. The sum of squares is the grid's (Parseval).
    """
    grid = _computable(grid)
    h, w, channels = grid.shape
    down, across = lowest or (h, w)
    rows = torch.matmul(dct_matrix(w, grid.dtype, grid.device)[:across], grid)
    columns = rows.reshape(h, -1)
    found = _long(columns)[:down] if h > LONG else dct_matrix(h, grid.dtype, grid.device)[:down] @ columns
    return found.view(down, across, channels)


def idct2(coefficients: Tensor) -> Tensor:
    """Inverse of `dct2`: coefficients [h, w, C] -> grid [h, w, C]."""
    coefficients = _computable(coefficients)
    h, w, channels = coefficients.shape
    columns = coefficients.reshape(h, -1)
    rows = _long_inverse(columns) if h > LONG else dct_matrix(h, coefficients.dtype, coefficients.device).T @ columns
    return torch.matmul(dct_matrix(w, coefficients.dtype, coefficients.device).T, rows.view(h, w, channels))


def _long(columns: Tensor) -> Tensor:
    """`dct_matrix` times columns [n, m]: the Fourier transform of each and its mirror image, turned by half a cell."""
    turn = _turn(columns)
    mirrored = (torch.cat([part, part.flip(0)]) for part in columns.split(CHUNK, 1))
    return torch.cat([(torch.fft.rfft(part, dim=0)[:-1] / turn).real for part in mirrored], 1)


def _long_inverse(columns: Tensor) -> Tensor:
    """Inverse of `_long`."""
    n, turn = len(columns), _turn(columns)
    return torch.cat([torch.fft.irfft(part * turn, 2 * n, 0)[:n] for part in columns.split(CHUNK, 1)], 1)


def _turn(columns: Tensor) -> Tensor:
    """What the Fourier coefficients of a column and its mirror image are, divided by the DCT's: complex [n, 1]."""
    n = len(columns)
    frequency = torch.arange(n, dtype=torch.float64, device=columns.device)[:, None]
    turn = torch.polar(torch.full_like(frequency, (2 * n) ** 0.5), frequency * (torch.pi / (2 * n)))
    turn[0] *= 2**0.5
    return turn.to(torch.promote_types(columns.dtype, torch.complex64))


def _computable(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()
