"""Method 2: compress what the vision tower made of a page. One file for each method, names as typed."""

from typing import TYPE_CHECKING, Any

from freqq.errors import UserError
from freqq.names import unknown
from freqq.registry import Registry

if TYPE_CHECKING:
    from freqq.tokens.base import TokenCompressor

COMPRESSORS: "Registry[type[TokenCompressor]]" = Registry(
    "freqq.compressors",
    "freqq.tokens.base:TokenCompressor",
    {
        "token": "freqq.tokens.quantize:Quantize",
        "token-lowpass": "freqq.tokens.lowpass:Lowpass",
        "token-prune": "freqq.tokens.prune:Prune",
        "token-highpass": "freqq.tokens.highpass:Highpass",
        "token-stratified": "freqq.tokens.stratified:Stratified",
        "token-pool": "freqq.tokens.pool:Pool",
        "token-random": "freqq.tokens.random:Random",
        "token-stride": "freqq.tokens.stride:Stride",
        "token-merge": "freqq.tokens.merge:Merge",
        "token-divprune": "freqq.tokens.divprune:DivPrune",
        "token-int8": "freqq.tokens.integers:Int8",
        "token-int4": "freqq.tokens.integers:Int4",
        "token-original": "freqq.tokens.original:Original",
        "token-vq": "freqq.tokens.vq:VectorQuantization",
    },
    prefix="token-",
)

ALIASES = {"token-quantize": "token"}
"""Second names of compressors."""


def compressor(name: str) -> "type[TokenCompressor]":
    """The dataclass of a compressor or of a combination such as ``token-lowpass+quantize``.

    Raises
    ------
    UserError
        If there is no such name, or it does not combine a method that cuts tokens with one that quantizes.
    """
    from freqq.tokens.base import Cutter, Quantizer, combine

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


def compressor_at(name: str, level: str = "mild", **parameters: Any) -> "TokenCompressor":
    """A compressor or combination by its name, at a level, with parameters in place of the level's.

    >>> freqq.compressor("token-lowpass+quantize", level="mild", keep=0.3)
    Combination(...)

    Raises
    ------
    UserError
        If there is no such method, level or parameter, or a value is out of range.
    """
    return compressor(name).at(level, **parameters)


def name_of(kind: "type[TokenCompressor]") -> str:
    """The name of a compressor's or a combination's dataclass, as `compressor` takes it.

    Raises
    ------
    UserError
        If it has none.
    """
    from freqq.tokens.base import Combination

    if issubclass(kind, Combination):
        second = (
            "quantize" if kind.QUANTIZER is COMPRESSORS["token"] else name_of(kind.QUANTIZER).removeprefix("token-")
        )
        return f"{name_of(kind.CUTTER)}+{second}"
    for name, known in COMPRESSORS.items():
        if known is kind:
            return name
    raise UserError(f"{kind.__name__} has no name: add it to freqq.tokens.COMPRESSORS")


def _single(name: str) -> "type[TokenCompressor]":
    name = ALIASES.get(name, name)
    if name not in COMPRESSORS:
        raise unknown("method", name, (*COMPRESSORS, *ALIASES))
    return COMPRESSORS[name]
