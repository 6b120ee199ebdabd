"""Decode and describe .fqi streams of any codec."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freqq.errors import UserError
from freqq.image import container
from freqq.image.coefficients import describe_blocks, read_blocks
from freqq.image.embedded import describe_file, read_file
from freqq.image.text import describe_text, read_text
from freqq.image.vq import describe_patterns, read_patterns
from freqq.pages.page import Page

MOST_BYTES = 1 << 28
"""More than the pixels of any page."""


@dataclass(frozen=True)
class Coding:
    """How to read streams of one coding.

    Parameters
    ----------
    name : str
    decode : callable
        The page of a stream.
    describe : callable
        The fields of the coding's own header; their names are unique among all headers.
    """

    name: str
    decode: Callable[[bytes], Page]
    describe: Callable[[bytes], dict[str, Any]]


CODINGS = {
    container.PLAIN: Coding("plain pixels", container.read_plain, lambda stream: {}),
    container.FILE: Coding("file", read_file, describe_file),
    container.TEXT: Coding("text", read_text, describe_text),
    container.VQ: Coding("patterns", read_patterns, describe_patterns),
    container.DCT: Coding("block DCT", read_blocks, describe_blocks),
}


def read_stream(file: Path) -> bytes:
    """The bytes of a file.

    Raises
    ------
    UserError
        If it cannot be read, or is larger than any stream.
    """
    try:
        with file.open("rb") as opened:  # a device has no size, and may have no end
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise UserError(f"{file} has more than {MOST_BYTES:,} bytes, which no stream of a page has")
    return content


def decode(stream: bytes) -> Page:
    """The page of a stream of any coding.

    Raises
    ------
    CorruptStream
        If it is not a complete, undamaged stream.
    UserError
        If this machine lacks what it needs (an optional library, a font).
    """
    return _coding(stream).decode(stream)


def describe(stream: bytes) -> dict[str, Any]:
    """The fields of a stream's headers. The checksum is verified, but the page is not decoded.

    Raises
    ------
    CorruptStream
        If the checksum or a header is wrong.
    """
    header, _ = container.opened(stream)
    coding = _coding(stream)
    return {
        "coding": coding.name,
        "height": header.height,
        "width": header.width,
        "planes": header.planes,
        "stream_bytes": len(stream),
        "bits_per_pixel": 8 * len(stream) / (header.height * header.width),
        **coding.describe(stream),
    }


def _coding(stream: bytes) -> Coding:
    header, reader = container.opened(stream)
    if header.coding not in CODINGS:
        raise reader.corrupt(f"unknown coding {header.coding}")
    return CODINGS[header.coding]
