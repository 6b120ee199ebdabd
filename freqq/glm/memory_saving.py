"""Options that reduce the memory of an answer at the cost of time."""

from dataclasses import dataclass
from importlib.metadata import version

from packaging.version import Version

from freqq.errors import UserError

PIECES_SINCE = Version("5.23")
"""The first transformers with chunked prefill for pages that were seen before; older ones give each chunk all pages."""

CHUNK, SMALL_CHUNK = 1024, 128
"""Tokens per chunk after memory ran out once, and twice."""


@dataclass(frozen=True)
class MemorySaving:
    """Options that save memory. They do not change an answer, up to rounding.

    Parameters
    ----------
    prefill_chunk : int or None
        Prompt tokens read at a time; the largest activations grow with it. None: all.
    offload : bool
        Keep the key-value cache in main memory, and only two of its layers on the GPU. No effect on a CPU.

    Raises
    ------
    UserError
        If transformers is too old for `prefill_chunk`.
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
    """Whether the installed transformers supports chunked prefill."""
    return Version(version("transformers")) >= PIECES_SINCE


NO_SAVING = MemorySaving()


def fallbacks(prefill_chunk: int | None, offload: bool) -> tuple[MemorySaving, ...]:
    """Options for retries of a sample that ran out of memory.

    First chunks, then, with `offload`, smaller chunks and the cache in main memory. Chunks are never larger than
    `prefill_chunk`. Empty if transformers does not support chunks.
    """
    if not can_read_in_pieces():
        return ()
    pieces = [MemorySaving(min(CHUNK, prefill_chunk or CHUNK))]
    return (*pieces, *([MemorySaving(min(SMALL_CHUNK, prefill_chunk or SMALL_CHUNK), True)] if offload else []))
