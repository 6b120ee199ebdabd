"""Method 1: compress the page image. One file a method; the names are those a user types."""

from freqq.image.base import ImageCodec
from freqq.image.dct import BlockDct

CODECS: dict[str, type[ImageCodec]] = {"image": BlockDct}
