"""Options that let an answer take less memory, and more time."""

from dataclasses import dataclass
from importlib.metadata import version

from packaging.version import Version

from freqq.errors import UserError

PIECES_SINCE = Version("5.23")
"""The first transformers whose prefill in pieces takes pages that were seen before; older ones give every piece all."""

CHUNK, SMALL_CHUNK = 1024, 128
"""Tokens that are read at once where memory ran out, and where it ran out again."""


@dataclass(frozen=True)
class MemorySaving:
    """Options that save memory. They do not change an answer, up to rounding.

    Parameters
    ----------
    prefill_chunk : int or None
        Tokens of each prompt that are read at once; the largest activations grow with it. None: all of them.
    offload : bool
        Keep the key-value cache in main memory, and only two of its layers on the GPU. No effect on a CPU.

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


NO_SAVING = MemorySaving()


def fallbacks(prefill_chunk: int | None, offload: bool) -> tuple[MemorySaving, ...]:
    """What to retry a sample with that ran out of memory: first a prompt in pieces, then, if `offload`, smaller pieces
    and the cache in main memory. Pieces are never larger than `prefill_chunk`. Empty if transformers has no pieces.
    """
    if not can_read_in_pieces():
        return ()
    pieces = [MemorySaving(min(CHUNK, prefill_chunk or CHUNK))]
    return (*pieces, *([MemorySaving(min(SMALL_CHUNK, prefill_chunk or SMALL_CHUNK), True)] if offload else []))
