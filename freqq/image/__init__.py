"""Method 1: compress the page image. One file a method; the names are those a user types."""

from freqq.image.base import ImageCodec
from freqq.image.dct import BlockDct, DctQuantize
from freqq.image.gray import Gray2, Gray4
from freqq.image.resize import Resize
from freqq.image.standard import Jpeg, Jxl, Png, Webp
from freqq.image.text import Text
from freqq.image.vq import VectorQuantization

CODECS: dict[str, type[ImageCodec]] = {
    "image": BlockDct,
    "image-dct": BlockDct,
    "image-quantize": DctQuantize,
    "image-vq": VectorQuantization,
    "image-png": Png,
    "image-jpeg": Jpeg,
    "image-webp": Webp,
    "image-jxl": Jxl,
    "image-resize": Resize,
    "image-gray4": Gray4,
    "image-gray2": Gray2,
    "image-text": Text,
}

ALIASES = {"image-dct": "image"}
"""Second names of codecs."""
