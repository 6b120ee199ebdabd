"""Blocked two-dimensional DCT of an image plane, for any block and any size of plane."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=64)
def basis(n: int) -> NDArray[np.float64]:
    """The orthonormal DCT-II basis [n, n]: row k is cos(pi k (2 i + 1) / 2 n), scaled to length 1. Read-only."""
    k, i = np.arange(n)[:, None], np.arange(n)[None]
    rows = np.cos(np.pi * k * (2 * i + 1) / (2 * n)) * np.sqrt(2 / n)
    rows[0] = np.sqrt(1 / n)
    rows.setflags(write=False)
    return rows


def whole_blocks(length: int, block: int) -> int:
    """How many blocks cover a length."""
    return -(-length // block)


def block_dct(plane: NDArray[np.generic], block: int) -> NDArray[np.float64]:
    """DCT-II of every block of a plane.

    Parameters
    ----------
    plane : real [H, W]
        Padded at the bottom and right to whole blocks by repeating its edge: resizing would blur what is to be
        measured, and a constant would draw an edge of its own.
    block : int
        Side of a block in pixels.

    Returns
    -------
    coefficients : float64 [rows, columns, block, block]
        Rows and columns of blocks, then vertical and horizontal frequency.
    """
    height, width = plane.shape
    rows, columns = whole_blocks(height, block), whole_blocks(width, block)
    padding = ((0, rows * block - height), (0, columns * block - width))
    padded = np.pad(plane.astype(np.float64), padding, mode="edge")
    blocks = padded.reshape(rows, block, columns, block).transpose(0, 2, 1, 3)
    across = blocks.reshape(-1, block) @ basis(block).T
    return np.matmul(basis(block), across.reshape(rows, columns, block, block))


def block_idct(coefficients: NDArray[np.generic], height: int, width: int) -> NDArray[np.float64]:
    """Inverse of `block_dct`: the plane [height, width], without its padding."""
    rows, columns, block, _ = coefficients.shape
    down = np.matmul(basis(block).T, coefficients.astype(np.float64))
    blocks = (down.reshape(-1, block) @ basis(block)).reshape(rows, columns, block, block)
    return blocks.transpose(0, 2, 1, 3).reshape(rows * block, columns * block)[:height, :width]
