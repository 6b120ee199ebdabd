"""One page through a codec and back, measured."""

import json
from dataclasses import asdict, dataclass, is_dataclass
from time import perf_counter
from typing import Any

from freqq.image import container
from freqq.image.base import ImageCodec
from freqq.image.dct import BlockDct
from freqq.image.files import png
from freqq.image.measures import psnr, ssim
from freqq.pages.page import Page


@dataclass(frozen=True)
class Recoded:
    """A page after a codec: its stream, the page that the stream decodes to as PNG, and a table row of measures."""

    stream: bytes
    png: bytes
    row: dict[str, Any]


def recode(page: Page, codec: ImageCodec | None) -> Recoded:
    """Encode and decode a page. No codec stores it without loss.

    The row's sizes are in bytes: ``page_png_bytes`` of the page before, ``stream_bytes`` of the stream, and
    ``decoded_png_bytes`` of the page after, which is often larger than the one before. ``psnr`` is in dB and infinite
    for equal pages; times are in milliseconds.
    """
    start = perf_counter()
    stream = container.write_plain(page) if codec is None else codec.encode(page)
    encoded = perf_counter()
    decoded = (codec or BlockDct()).decode(stream)
    done = perf_counter()
    decoded_png = png(decoded)
    height, width = page.pixels.shape[:2]
    row = {
        "width": width,
        "height": height,
        "planes": 1 if page.pixels.ndim == 2 else page.pixels.shape[2],
        "params": json.dumps(asdict(codec) if is_dataclass(codec) else {}, sort_keys=True),
        "page_png_bytes": len(png(page)),
        "stream_bytes": len(stream),
        "decoded_png_bytes": len(decoded_png),
        "psnr": psnr(page.pixels, decoded.pixels),
        "ssim": ssim(page.pixels, decoded.pixels),
        "encode_ms": (encoded - start) * 1e3,
        "decode_ms": (done - encoded) * 1e3,
    }
    return Recoded(stream, decoded_png, row)
