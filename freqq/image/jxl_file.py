"""JPEG XL files, by the optional ``pillow-jxl-plugin``."""

from importlib.util import find_spec
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from freqq.errors import UserError

START = b"\xff\x0a"
RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Ratios of width to height that replace the width in the header (ISO/IEC 18181-1, size header)."""


def is_installed() -> bool:
    """Whether the library is installed."""
    return find_spec("pillow_jxl") is not None


def library() -> ModuleType:
    """The library; raises a `UserError` with what to install if it is missing."""
    try:
        import pillow_jxl
    except ImportError as error:
        raise UserError("JPEG XL needs pillow-jxl-plugin: pip install 'freqq[jxl]'") from error
    return pillow_jxl


def encoded(pixels: NDArray[np.uint8], quality: int, effort: int) -> bytes:
    """Pixels [H, W] or [H, W, 3] as a bare codestream; quality 100 is lossless. One thread."""
    mode = "L" if pixels.ndim == 2 else "RGB"
    encoder = library().Encoder(mode=mode, lossless=quality == 100, quality=quality, effort=effort, num_threads=0)
    metadata = {"exif": None, "jumb": None, "xmp": None, "compress": False}
    return bytes(encoder(pixels.tobytes(), pixels.shape[1], pixels.shape[0], jpeg_encode=False, **metadata))


def pixels(content: bytes) -> NDArray[np.uint8]:
    """The pixels of a file, gray [H, W] or RGB [H, W, 3]."""
    _, info, values, _, _ = library().Decoder(num_threads=0)(content)
    shape = {"L": (info.height, info.width), "RGB": (info.height, info.width, 3)}[info.mode]
    return np.frombuffer(values, np.uint8).reshape(shape)


def size(content: bytes) -> tuple[int, int]:
    """Height and width in the header of a bare codestream of a still 8-bit image without extra channels.

    Raises `ValueError` for anything else: extra channels or wider samples take memory that the size does not bound.
    (ISO/IEC 18181-1, size header and image metadata.)
    """
    if content[:2] != START:
        raise ValueError("no bare JPEG XL codestream")
    bits, at = int.from_bytes(content[2:16], "little"), 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return bits >> (at - count) & ((1 << count) - 1)

    def side() -> int:
        return (take(5) + 1) * 8 if small else take((9, 13, 18, 30)[take(2)]) + 1

    small = take(1)
    height = side()
    ratio = take(3)
    across, down = RATIOS[ratio - 1] if ratio else (1, 1)
    width = height * across // down if ratio else side()
    if not take(1):  # not all_default
        extra_fields, floating, depth, _, channels = take(1), take(1), take(2), take(1), take(2)
        if extra_fields or floating or depth or channels:
            raise ValueError("no plain still image of 8 bits")
    return height, width
