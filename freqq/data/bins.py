"""MRCR's eight bins of context length.

The data card of `openai/mrcr` bins by the o200k tokens of prompt and answer: [4096, 8192], (8192, 16384], and so on to
(524288, 1048576]. The names are those of Glyph's files, whose first bin is ``0k_8k``: a chat below 4096 tokens, which
the official data does not have, belongs to it, too.
"""

import re
from bisect import bisect_left
from collections.abc import Collection
from math import inf

from freqq.errors import UserError

EDGES = (8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576)
"""The most tokens of each bin."""

BINS = ("0k_8k", "8k_16k", "16k_32k", "32k_64k", "64k_128k", "128k_256k", "256k_512k", "512k_1024k")
BEYOND = "over_1024k"
"""What is longer than the last bin."""

_RANGE = re.compile(r"(\d{1,4})\s*([km]?)\s*[-_]\s*(\d{1,4})\s*([km]?)", re.IGNORECASE)


def bin_of(tokens: int) -> str:
    """The bin of a number of tokens; an edge belongs to the bin that it ends."""
    index = bisect_left(EDGES, tokens)
    return BINS[index] if index < len(BINS) else BEYOND


def upper_edge(bins: Collection[str]) -> float:
    """The most tokens of the longest of some bins; infinite if there are none."""
    return max((EDGES[BINS.index(name)] if name in BINS else inf for name in bins), default=inf)


def parse_bin(text: str) -> tuple[str, ...]:
    """The bins of a range such as ``0-8k``, ``4k-8k`` (the official name of the first), ``0k_8k`` or ``0-128k``.

    Raises
    ------
    UserError
        If it is no range, or does not begin and end at an edge.
    """
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise UserError(f"--bin {text}: write it as a range, such as 0-8k or 8k-128k")
    low, high = _thousands(match[1], match[2]), _thousands(match[3], match[4])
    ends = [edge // 1024 for edge in EDGES]
    starts = [0, *ends[:-1]]
    low = 0 if low == 4 else low
    if low not in starts or high not in ends or low >= high:
        raise UserError(f"--bin {text}: the bins of MRCR begin and end at 0, {', '.join(f'{k}k' for k in ends)}")
    return BINS[starts.index(low) : ends.index(high) + 1]


def _thousands(number: str, unit: str) -> int:
    return int(number) * (1024 if unit.lower() == "m" else 1)
