"""Method 1: compress the page image. One file per method."""

from typing import TYPE_CHECKING, Any

from freqq.names import unknown
from freqq.registry import Registry

if TYPE_CHECKING:
    from freqq.image.base import ImageCodec

CODECS: "Registry[type[ImageCodec]]" = Registry(
    "freqq.codecs",
    "freqq.image.base:ImageCodec",
    {
        "image": "freqq.image.dct:BlockDct",
        "image-dct": "freqq.image.dct:BlockDct",
        "image-quantize": "freqq.image.dct:DctQuantize",
        "image-vq": "freqq.image.vq:VectorQuantization",
        "image-png": "freqq.image.standard:Png",
        "image-jpeg": "freqq.image.standard:Jpeg",
        "image-webp": "freqq.image.standard:Webp",
        "image-jxl": "freqq.image.standard:Jxl",
        "image-resize": "freqq.image.resize:Resize",
        "image-gray4": "freqq.image.gray:Gray4",
        "image-gray2": "freqq.image.gray:Gray2",
        "image-text": "freqq.image.text:Text",
    },
    prefix="image-",
)

ALIASES = {"image-dct": "image"}
"""Alternative names of codecs."""


def codec_at(name: str, level: str = "mild", **parameters: Any) -> "ImageCodec":
    """A codec by its name, at a level, with some parameters overridden.

    >>> freqq.codec("image-vq", level="mild").encode(page)
    b'...'

    Raises
    ------
    UserError
        If there is no such codec, level or parameter, or a value is out of range.
    """
    if name not in CODECS:
        raise unknown("codec", name, CODECS)
    return CODECS[name].at(level, **parameters)
