"""Method 2: compress what the vision tower made of a page. One file a method; the names are those a user types."""

from freqq.tokens.base import TokenCompressor
from freqq.tokens.quantize import Quantize

COMPRESSORS: dict[str, type[TokenCompressor]] = {"token": Quantize}
