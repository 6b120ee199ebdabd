"""How an answer takes less memory, at the price of time."""

from dataclasses import dataclass
from importlib.metadata import version

from packaging.version import Version

from freqq.errors import UserError

PIECES_SINCE = Version("5.23")
"""The first transformers whose prefill in pieces takes pages that were seen before; older ones give every piece all."""

CHUNK, SMALL_CHUNK = 1024, 128
"""Tokens that are read at once where memory ran out, and where it ran out again."""


@dataclass(frozen=True)
class Thrift:
    """How little memory an answer shall take; without influence on it, up to rounding.

    Parameters
    ----------
    prefill_chunk : int or None
        Tokens of each prompt that are read at once; the largest activations grow with it. None: all of them.
    offload : bool
        Keep the key-value cache in main memory, and but two layers of it on the GPU. On a CPU it is there anyway.

    Raises
    ------
    UserError
        If pieces are asked for and transformers is too old for them.
    """

    prefill_chunk: int | None = None
    offload: bool = False

    def __post_init__(self) -> None:
        if self.prefill_chunk is not None and not can_read_in_pieces():
            raise UserError(
                f"reading prompts in pieces needs transformers {PIECES_SINCE}, and {version('transformers')} is "
                "installed: leave out --prefill-chunk, or update it"
            )


def can_read_in_pieces() -> bool:
    """Whether the transformers that is installed can."""
    return Version(version("transformers")) >= PIECES_SINCE


NO_THRIFT = Thrift()


def last_resorts(prefill_chunk: int | None, offload: bool) -> tuple[Thrift, ...]:
    """What a sample is tried with that ran out of memory: first in pieces, then, if `offload`, in small ones as well
    as with the cache in main memory. Pieces are never larger than the ones that were asked for. Nothing where there are
    no pieces.
    """
    if not can_read_in_pieces():
        return ()
    pieces = [Thrift(min(CHUNK, prefill_chunk or CHUNK))]
    return (*pieces, *([Thrift(min(SMALL_CHUNK, prefill_chunk or SMALL_CHUNK), True)] if offload else []))
