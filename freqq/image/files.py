"""Pages from image files, and back."""

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
"""What is taken from a folder. A file that is named is tried whatever it is called."""

SENT = ("PNG", "JPEG", "WEBP")
"""What is read of images that others send. Pillow knows dozens of formats, and runs another program for some."""

GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F"})


def find_images(paths: Iterable[Path]) -> list[Path]:
    """The image files that paths stand for: files as they are, folders as the images right in them, by name.

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
    """Read an image file as a page: gray stays gray, everything else becomes RGB, transparency white.

    Parameters
    ----------
    path : Path
    content : bytes, optional
        An image from elsewhere, which `path` then only names in errors. It has to be of `SENT`.

    Raises
    ------
    UserError
        If the file cannot be read, is no image, is damaged, or is too large.
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
    """How many frames or pages an image file has that `read_page` reads, which takes the first."""
    with Image.open(path) as image:
        return int(getattr(image, "n_frames", 1))


def _pixels(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    if image.mode in GRAY_MODES and "A" not in image.getbands() and "a" not in image.getbands():
        if image.mode in ("1", "L"):
            return np.asarray(image.convert("L"))
        deep = np.nan_to_num(np.asarray(image, np.float64))
        # Deep scans have 16 bits, but Pillow also opens 8-bit ones in these modes.
        return np.clip(np.rint(deep * (1 if deep.max() <= 255 else 255 / 65535)), 0, 255).astype(np.uint8)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        flat = Image.alpha_composite(white, image)
        return np.asarray(flat.convert("RGB"))
    return np.asarray(image.convert("RGB"))


def png(page: Page) -> bytes:
    """A page as an optimised PNG file; the same bytes for the same pixels."""
    file = io.BytesIO()
    Image.fromarray(page.pixels).save(file, "png", optimize=True)
    return file.getvalue()
