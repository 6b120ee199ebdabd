"""Read pages from image files, and write them."""

import io
import warnings
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from freqq.errors import UserError
from freqq.image.container import check_size
from freqq.pages.page import Page

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
"""Images in a folder. A file that is given by itself may have any name."""

AVIF = ("AVIF",) if find_spec("PIL.AvifImagePlugin") else ()
FORMATS = ("PNG", "JPEG", "WEBP", *AVIF, "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
"""Formats of files, whatever their names. Pillow knows dozens more, and runs other programs for some."""

SENT = ("PNG", "JPEG", "WEBP")
"""Formats accepted in requests."""

DEEP_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "F"})
SCALED = ("PNG", "PPM")
"""Formats whose deep gray pixels are 0 to 65535 by their definition, in Pillow."""


def find_images(paths: Iterable[Path]) -> list[Path]:
    """The image files of paths, each once: files themselves, and the images directly in folders, by name.

    Raises
    ------
    UserError
        If a path does not exist, or a folder holds no image.
    """
    found: dict[tuple[Path, str], Path] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
            if not inside:
                raise UserError(f"there is no image in the folder {path} (looked for {', '.join(sorted(SUFFIXES))})")
        elif path.exists():
            inside = [path]
        else:
            raise UserError(f"there is no file or folder {path}")
        for image in inside:
            found.setdefault((image.parent.resolve(), image.name), image)
    return list(found.values())


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
    file, formats = (path, FORMATS) if content is None else (io.BytesIO(content), SENT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            with Image.open(file, formats=formats) as image:
                check_size(image.height, image.width)
                return Page(_pixels(ImageOps.exif_transpose(image), image.format in SCALED))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path} is too large for a page: {error}") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{path} is not an image that can be read (in {', '.join(formats)})") from error
    except PermissionError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise UserError(f"{path} is not an image that can be read: {error or type(error).__name__}") from error


def frame_count(path: Path) -> int:
    """The number of frames or pages of an image file; `read_page` reads the first. 1 if a later one is damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                return int(getattr(image, "n_frames", 1))
    except Exception:  # decoders raise nearly anything on damaged files, and the first frame may be whole
        return 1


def _pixels(image: Image.Image, scaled: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    if image.mode in ("1", "L") and not image.has_transparency_data:
        return np.asarray(image.convert("L"))
    if image.mode in DEEP_MODES:
        deep = np.nan_to_num(np.asarray(image, np.float64))
        # Floating-point pixels are 0 to 1; scans have 16 bits, but TIFF also has 8-bit images in these modes.
        unit = image.mode == "F" and deep.max() <= 1
        small = deep.max() <= 255 and not (scaled and image.mode != "F")
        gray = np.clip(np.rint(deep * (255 if unit else 1 if small else 255 / 65535)), 0, 255).astype(np.uint8)
        return np.where(deep == image.info.get("transparency", np.nan), np.uint8(255), gray)
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
