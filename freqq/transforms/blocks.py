"""Blocked two-dimensional DCT of an image plane, for any block size and plane size. Does not import torch."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

INTEGER_BITS = 13
"""`restore_pixels` uses the basis in units of 2^-13, so that products and sums are integers below 2^53."""

LARGEST_COEFFICIENT = 1 << 15
"""No block of up to 128 x 128 pixels has a larger coefficient; the DC of a white one comes close."""

STRIP = 1 << 15
"""Pixels restored at a time: they fit a core's cache and bound the memory for large pages."""


@lru_cache(maxsize=64)
def basis(n: int) -> NDArray[np.float64]:
    """The orthonormal DCT-II basis [n, n]: row k is cos(pi k (2 i + 1) / 2 n), scaled to length 1. Read-only."""
    k, i = np.arange(n)[:, None], np.arange(n)[None]
    rows = np.cos(np.pi * k * (2 * i + 1) / (2 * n)) * np.sqrt(2 / n)
    rows[0] = np.sqrt(1 / n)
    rows.setflags(write=False)
    return rows


def whole_blocks(length: int, block: int) -> int:
    """The number of blocks that cover a length."""
    return -(-length // block)


def block_dct(plane: NDArray[np.generic], block: int) -> NDArray[np.floating]:
    """DCT-II of every block of a plane.

    Parameters
    ----------
    plane : real [H, W]
        Padded to whole blocks at the bottom and right by repeating its edge; a constant would add an edge. 8-bit pixels
        are transformed in float32 (error below 0.001 gray levels), everything else in float64.
    block : int
        Side of a block in pixels.

    Returns
    -------
    coefficients : float32 or float64 [rows, columns, block, block]
        Rows and columns of blocks, then vertical and horizontal frequency. The memory layout is [rows, vertical,
        columns, horizontal].
    """
    height, width = plane.shape
    rows, columns = whole_blocks(height, block), whole_blocks(width, block)
    dtype = np.float32 if plane.dtype == np.uint8 else np.float64
    padded = np.empty((rows * block, columns * block), dtype)
    padded[:height, :width] = plane
    padded[height:, :width] = padded[height - 1, :width]
    padded[:, width:] = padded[:, width - 1 : width]
    transform = basis(block).astype(dtype)
    down = np.matmul(transform, padded.reshape(rows, block, columns * block))
    return (down.reshape(-1, block) @ transform.T).reshape(rows, block, columns, block).transpose(0, 2, 1, 3)


@lru_cache(maxsize=64)
def _integer_basis(n: int) -> NDArray[np.float64]:
    return np.rint(basis(n) * (1 << INTEGER_BITS))


def restore_pixels(
    symbols: NDArray[np.int16], steps: NDArray[np.int64], fraction_bits: int, height: int, width: int
) -> NDArray[np.uint8]:
    """The pixels of quantized coefficients, identical on every machine.

    Floating-point matrix products depend on the machine's order of summation. Here all terms and sums are integers that
    float64 represents exactly, so the order does not matter.

    Parameters
    ----------
    symbols : int16 [block, block, rows, columns]
        Vertical and horizontal frequency, then rows and columns of blocks.
    steps : int64 [block, block]
        The value of a symbol of 1, in units of 2^-`fraction_bits` gray levels.
    fraction_bits : int, at most 3
    height, width : int
        The size without padding.
    """
    block, _, rows, columns = symbols.shape
    transform, largest = _integer_basis(block), LARGEST_COEFFICIENT << fraction_bits
    unit = 0.5 ** (2 * INTEGER_BITS + fraction_bits)
    scale = (steps * unit)[:, None, :]
    safe = int(np.abs(symbols).max()) * int(steps.max()) <= largest
    pixels = np.empty((rows * block, columns * block), np.uint8)
    at_once = max(1, STRIP // (columns * block * block))
    for first in range(0, rows, at_once):
        part = np.ascontiguousarray(symbols[:, :, first : first + at_once].transpose(2, 0, 3, 1))
        coefficients = part * scale
        if not safe:
            np.clip(coefficients, -largest * unit, largest * unit, out=coefficients)
        across = coefficients.reshape(-1, block) @ transform
        plane = np.matmul(transform.T, across.reshape(len(part), block, -1))
        plane += 0.5
        np.clip(plane, 0, 255, out=plane)
        pixels[first * block : (first + len(part)) * block] = plane.reshape(-1, columns * block)
    return pixels[:height, :width]
