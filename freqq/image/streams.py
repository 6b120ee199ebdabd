"""Any .fqi stream, whatever codec wrote it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from freqq.image import container
from freqq.image.coefficients import describe_blocks, read_blocks
from freqq.image.embedded import describe_file, read_file
from freqq.image.text import describe_text, read_text
from freqq.image.vq import describe_patterns, read_patterns
from freqq.pages.page import Page


@dataclass(frozen=True)
class Coding:
    """How streams of one coding are read.

    Parameters
    ----------
    name : str
    decode : callable
        The page of a stream.
    describe : callable
        What its own header says, by names that no other header has.
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


def decode(stream: bytes) -> Page:
    """The page of a stream of any coding.

    Raises
    ------
    CorruptStream
        If it is anything but a whole, undamaged stream.
    UserError
        If this machine lacks what it needs (an optional library, a font).
    """
    return _coding(stream).decode(stream)


def describe(stream: bytes) -> dict[str, Any]:
    """What a stream says of itself, without decoding it; its checksum is verified.

    Raises
    ------
    CorruptStream
        As `decode`, as far as the headers tell.
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
