"""Method 2: compress what the vision tower made of a page. One file a method; the names are those a user types."""

from freqq.errors import UserError
from freqq.names import unknown
from freqq.tokens.base import Combination, Cutter, Quantizer, TokenCompressor, combine
from freqq.tokens.divprune import DivPrune
from freqq.tokens.highpass import Highpass
from freqq.tokens.integers import Int4, Int8
from freqq.tokens.lowpass import Lowpass
from freqq.tokens.merge import Merge
from freqq.tokens.original import Original
from freqq.tokens.pool import Pool
from freqq.tokens.prune import Prune
from freqq.tokens.quantize import Quantize
from freqq.tokens.random import Random
from freqq.tokens.stratified import Stratified
from freqq.tokens.stride import Stride
from freqq.tokens.vq import VectorQuantization

COMPRESSORS: dict[str, type[TokenCompressor]] = {
    "token": Quantize,
    "token-lowpass": Lowpass,
    "token-prune": Prune,
    "token-highpass": Highpass,
    "token-stratified": Stratified,
    "token-pool": Pool,
    "token-random": Random,
    "token-stride": Stride,
    "token-merge": Merge,
    "token-divprune": DivPrune,
    "token-int8": Int8,
    "token-int4": Int4,
    "token-original": Original,
    "token-vq": VectorQuantization,
}

ALIASES = {"token-quantize": "token"}


def compressor(name: str) -> type[TokenCompressor]:
    """The dataclass of a compressor or of a combination such as ``token-lowpass+quantize``.

    Raises
    ------
    UserError
        If there is no such name, or it does not combine a method that cuts tokens with one that quantizes.
    """
    first, plus, second = name.partition("+")
    cutter = _single(first)
    if not plus:
        return cutter
    quantizer = _single(f"token-{second}")
    if not (issubclass(cutter, Cutter) and issubclass(quantizer, Quantizer)):
        raise UserError(
            f"method {name!r} combines nothing: write one that cuts tokens, +, and one that quantizes, such as "
            "token-lowpass+quantize"
        )
    return combine(cutter, quantizer)  # type: ignore[arg-type] # mypy takes the hash of instances for that of classes


def name_of(kind: type[TokenCompressor]) -> str:
    """The name of a compressor's or a combination's dataclass, as `compressor` takes it.

    Raises
    ------
    UserError
        If it has none.
    """
    if issubclass(kind, Combination):
        second = "quantize" if kind.QUANTIZER is Quantize else name_of(kind.QUANTIZER).removeprefix("token-")
        return f"{name_of(kind.CUTTER)}+{second}"
    for name, known in COMPRESSORS.items():
        if known is kind:
            return name
    raise UserError(f"{kind.__name__} is no method by name: add it to freqq.tokens.COMPRESSORS")


def _single(name: str) -> type[TokenCompressor]:
    name = ALIASES.get(name, name)
    if name not in COMPRESSORS:
        raise unknown("method", name, (*COMPRESSORS, *ALIASES))
    return COMPRESSORS[name]
