"""One page through a codec and back, measured."""

import json
from dataclasses import asdict, dataclass, is_dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from freqq.image import container
from freqq.image.base import ImageCodec
from freqq.image.files import png
from freqq.image.measures import psnr, ssim, vision_tokens
from freqq.image.streams import decode
from freqq.pages.page import Page


@dataclass(frozen=True)
class Recoded:
    """A page after a codec: its stream, the page that the stream decodes to, also as PNG, and a row of measures."""

    stream: bytes
    page: Page
    png: bytes
    row: dict[str, Any]


def recode(page: Page, codec: ImageCodec | None) -> Recoded:
    """Encode and decode a page. No codec stores it without loss.

    The row's sizes are in bytes: ``page_png_bytes`` of the page before, ``stream_bytes`` of the stream, and
    ``decoded_png_bytes`` of the page after, which is often larger than the one before. ``bits_per_pixel`` are those of
    the stream by the pixels of the page before. ``psnr`` is in dB and infinite for equal pages; times are in
    milliseconds. A page that became smaller or gray is compared after it was enlarged again (bicubic) or given three
    equal planes. ``vision_tokens`` are those of the page after, and empty for one that the model does not take.
    """
    start = perf_counter()
    stream = container.write_plain(page) if codec is None else codec.encode(page)
    encoded = perf_counter()
    decoded = decode(stream)
    done = perf_counter()
    decoded_png = png(decoded)
    height, width = page.pixels.shape[:2]
    seen = _as_large(decoded.pixels, page.pixels)
    row = {
        "width": width,
        "height": height,
        "planes": 1 if page.pixels.ndim == 2 else page.pixels.shape[2],
        "params": params(codec),
        "page_png_bytes": len(png(page)),
        "stream_bytes": len(stream),
        "decoded_png_bytes": len(decoded_png),
        "bits_per_pixel": 8 * len(stream) / (height * width),
        "psnr": psnr(page.pixels, seen),
        "ssim": ssim(page.pixels, seen),
        "encode_ms": (encoded - start) * 1e3,
        "decode_ms": (done - encoded) * 1e3,
        "decoded_width": decoded.pixels.shape[1],
        "decoded_height": decoded.pixels.shape[0],
        "vision_tokens_full": vision_tokens(height, width),
        "vision_tokens": vision_tokens(*decoded.pixels.shape[:2]),
    }
    return Recoded(stream, decoded, decoded_png, row)


def params(codec: ImageCodec | None) -> str:
    """A codec's parameters as JSON with sorted keys; ``{}`` for none."""
    return json.dumps(asdict(codec) if is_dataclass(codec) else {}, sort_keys=True)


def _as_large(pixels: NDArray[np.uint8], like: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = like.shape[:2]
    if pixels.shape[:2] != (height, width):
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    return np.stack([pixels] * 3, axis=2) if pixels.ndim < like.ndim else pixels
