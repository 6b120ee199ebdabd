"""A page as the file of a standard codec, in an .fqi stream.

After the header of `freqq.image.container`, whose height and width are those of the page that was encoded:

    1 byte    kind: 0 PNG, 1 JPEG, 2 WebP, 3 JPEG XL
    2 bytes   height      2 bytes   width of the image in the file: no larger than the page, and smaller if resized
    ...       the file

A stream is 20 bytes longer than its file. A file is decoded only if its own header states the same size, which bounds
what the libraries allocate. The plug-in for JPEG XL can only decode whole files, so `freqq.image.jxl_file` reads that
header.
"""

import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from freqq.coding.stream import StreamReader
from freqq.errors import UserError
from freqq.image import jxl_file
from freqq.image.base import ImageCodec
from freqq.image.container import FILE, opened_as, start
from freqq.pages.page import Page

FILE_HEADER = struct.Struct("<BHH")
PNG, JPEG, WEBP, JXL = 0, 1, 2, 3


@dataclass(frozen=True)
class Kind:
    """A file format: its name, and functions for the size (height, width) in a file's header and for its pixels."""

    name: str
    size: Callable[[bytes], tuple[int, int]]
    pixels: Callable[[bytes], NDArray[np.uint8]]


class FileCodec(ImageCodec):
    """Base class of codecs whose streams contain the file of a standard codec."""

    def decode(self, stream: bytes) -> Page:
        """The page of a stream with a file of any kind."""
        return read_file(stream)


def write_file(page: Page, kind: int, size: tuple[int, int], content: bytes) -> bytes:
    """The stream of a page from a file with an image of a size (height, width)."""
    writer = start(FILE, page)
    writer.header(FILE_HEADER, kind, *size)
    writer.array(np.frombuffer(content, np.uint8))
    return writer.finish()


def saved(pixels: NDArray[np.uint8], name: str, **options: Any) -> bytes:
    """Pixels as a file written by Pillow."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, name, **options)
    return file.getvalue()


def check_quality(quality: int, lowest: int) -> None:
    """Refuse a quality that is out of range with a `UserError`."""
    if not lowest <= quality <= 100:
        raise UserError(f"quality {quality}: give {lowest} to 100")


def read_file(stream: bytes) -> Page:
    """The page of a stream with a file: gray or RGB like the original page, in the size of the file's image.

    Raises
    ------
    CorruptStream
        If it is not a complete, undamaged stream, or its file contradicts the header.
    UserError
        If the file is a JPEG XL and the library for it is not installed.
    """
    reader, planes, kind, size, content = _opened(stream)
    try:
        if kind.size(content) != size:
            raise reader.corrupt(f"its {kind.name} file is not of the size that the header says")
        pixels = kind.pixels(content)
    except UserError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise reader.corrupt(f"its {kind.name} file cannot be decoded") from error
    if pixels.shape[:2] != size:
        raise reader.corrupt(f"its {kind.name} file is not of the size that the header says")
    return Page(_in_planes(pixels, planes))


def describe_file(stream: bytes) -> dict[str, Any]:
    """The header of a stream with a file."""
    _, _, kind, (height, width), content = _opened(stream)
    return {"file": kind.name, "file_height": height, "file_width": width, "file_bytes": len(content)}


def _opened(stream: bytes) -> tuple[StreamReader, int, Kind, tuple[int, int], bytes]:
    header, reader = opened_as(FILE, stream)
    number, height, width = reader.header(FILE_HEADER)
    if number not in KINDS:
        raise reader.corrupt(f"unknown kind of file {number}")
    if not (1 <= height <= header.height and 1 <= width <= header.width):
        raise reader.corrupt(f"a file of {height} x {width} pixels is out of the page's bounds")
    return reader, header.planes, KINDS[number], (height, width), reader.rest()


def _in_planes(pixels: NDArray[np.uint8], planes: int) -> NDArray[np.uint8]:
    if planes == 1:
        return pixels if pixels.ndim == 2 else np.asarray(Image.fromarray(pixels).convert("L"))
    return pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=2)


def _pillow(name: str) -> tuple[Callable[[bytes], tuple[int, int]], Callable[[bytes], NDArray[np.uint8]]]:
    def opened(content: bytes) -> Image.Image:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about large images: our own limit is lower
            return Image.open(BytesIO(content), formats=(name,))

    def size(content: bytes) -> tuple[int, int]:
        with opened(content) as image:
            return image.height, image.width

    def pixels(content: bytes) -> NDArray[np.uint8]:
        with opened(content) as image:
            if image.mode not in ("L", "RGB"):
                raise ValueError(f"an image of mode {image.mode}")
            return np.asarray(image)

    return size, pixels


KINDS = {
    PNG: Kind("PNG", *_pillow("PNG")),
    JPEG: Kind("JPEG", *_pillow("JPEG")),
    WEBP: Kind("WebP", *_pillow("WEBP")),
    JXL: Kind("JPEG XL", jxl_file.size, jxl_file.pixels),
}
