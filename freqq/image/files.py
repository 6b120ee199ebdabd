"""Read pages from image files, and write them."""

import io
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from freqq.errors import UserError
from freqq.image.container import check_size
from freqq.pages.page import Page

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
"""Images in a folder. A file that is given by itself may have any name."""

SENT = ("PNG", "JPEG", "WEBP")
"""Formats accepted in requests. Pillow knows dozens of formats and runs other programs for some."""

DEEP_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "F"})


def find_images(paths: Iterable[Path]) -> list[Path]:
    """The image files of paths: files themselves, and the images directly in folders, by name.

    Raises
    ------
    UserError
        If a path does not exist, or a folder holds no image.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
            if not inside:
                raise UserError(f"there is no image in the folder {path} (looked for {', '.join(sorted(SUFFIXES))})")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UserError(f"there is no file or folder {path}")
    return found


def read_page(path: Path, content: bytes | None = None) -> Page:
    """Read an image file as a page: gray stays gray, everything else becomes RGB, transparency becomes white.

    Parameters
    ----------
    path : Path
    content : bytes, optional
        The image's bytes, in a format of `SENT`; `path` then only names it in errors.

    Raises
    ------
    UserError
        If the file cannot be read, is not an image, is damaged, or is too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            with Image.open(path) if content is None else Image.open(io.BytesIO(content), formats=SENT) as image:
                check_size(image.height, image.width)
                return Page(_pixels(ImageOps.exif_transpose(image)))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path} is too large for a page: {error}") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{path} is not an image that can be read") from error
    except PermissionError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise UserError(f"{path} is not an image that can be read: {error or type(error).__name__}") from error


def frame_count(path: Path) -> int:
    """The number of frames or pages of an image file; `read_page` reads the first. 1 if a later one is damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                return int(getattr(image, "n_frames", 1))
    except Exception:  # decoders raise nearly anything on damaged files, and the first frame may be whole
        return 1


def _pixels(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    if image.mode in ("1", "L") and not image.has_transparency_data:
        return np.asarray(image.convert("L"))
    if image.mode in DEEP_MODES:
        deep = np.nan_to_num(np.asarray(image, np.float64))
        # Floating-point pixels are 0 to 1; scans have 16 bits, but Pillow also opens 8-bit images in these modes.
        unit = image.mode == "F" and deep.max() <= 1
        factor = 255 if unit else 1 if deep.max() <= 255 else 255 / 65535
        return np.clip(np.rint(deep * factor), 0, 255).astype(np.uint8)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        flat = Image.alpha_composite(white, image)
        return np.asarray(flat.convert("RGB"))
    return np.asarray(image.convert("RGB"))


def png(page: Page) -> bytes:
    """A page as an optimized PNG file."""
    file = io.BytesIO()
    Image.fromarray(page.pixels).save(file, "png", optimize=True)
    return file.getvalue()
