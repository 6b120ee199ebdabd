"""How long a context is: its o200k tokens, counted or estimated, and MRCR's eight bins.

The data card of `openai/mrcr` bins by the o200k tokens of prompt and answer: [4096, 8192], (8192, 16384], and so on to
(524288, 1048576]. The names are those of Glyph's files, whose first bin is ``0k_8k``: a chat below 4096 tokens, which
the official data does not have, belongs to it, too. Tokens are counted by `tiktoken`, or estimated where its file of
tokens cannot be had.
"""

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable
from functools import cache
from math import inf
from threading import Thread
from typing import TYPE_CHECKING

from freqq.errors import UserError

if TYPE_CHECKING:
    from tiktoken import Encoding


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


BYTES_PER_TOKEN = 4.8
"""UTF-8 bytes a token. Counted with the real tokens: 4.8 on 610 KB of licence texts, 4.4 on 60 KB of Markdown, 3.7 on
2.5 MB of Python code; on a few sentences each, 4.9 for answers of a chat model, 4.6 for Chinese, 4.0 for Japanese, 7.6
for Russian. MRCR's own samples have 4.8 to 4.9 characters a token from 64k tokens on, and 4.3 to 5.0 below, by the
lengths in characters that others have published for its bins."""

DOWNLOAD_S = 30.0
"""How long to wait for the file of tokens (3.6 MB), for which tiktoken itself waits without limit."""

_LONG_BLANK = re.compile(r"\s{1000,}+")
_MOST_BLANK = 100_000
"""Longest white space that is counted: tiktoken's regular expression overflows its stack on much longer ones."""


@cache
def encoding() -> "Encoding | None":
    """The o200k encoding, downloaded once or found in ``TIKTOKEN_CACHE_DIR``; None if it cannot be had."""
    found: list[Encoding] = []

    def fetch() -> None:
        try:
            import tiktoken

            found.append(tiktoken.get_encoding("o200k_base"))
        except Exception:  # not installed, no network, a proxy's error page: all of them mean an estimate
            return

    thread = Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(DOWNLOAD_S)
    return found[0] if found else None


def estimate(text: str) -> int:
    """About how many tokens: UTF-8 bytes by `BYTES_PER_TOKEN`, rounded up."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -int(-size // BYTES_PER_TOKEN)


def count(texts: Iterable[str], most: float = inf) -> tuple[int, str]:
    """Tokens of several texts, each encoded by itself as the data card of `openai/mrcr` does, and where they are from.

    Counting stops as soon as there are more than `most`.

    Returns
    -------
    tokens : int
        Their sum.
    source : str
        ``o200k`` if all were counted, else ``estimate``.
    """
    total, source, encoder = 0, "o200k", encoding()
    for text in texts:
        if encoder is None or any(m.end() - m.start() > _MOST_BLANK for m in _LONG_BLANK.finditer(text)):
            source = "estimate"
            total += estimate(text)
        else:
            total += len(encoder.encode_ordinary(text))
        if total > most:
            break
    return total, source
