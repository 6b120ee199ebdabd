"""Context length: o200k tokens, counted or estimated, and MRCR's eight bins.

The data card of `openai/mrcr` bins by the o200k tokens of prompt and answer: [4096, 8192], (8192, 16384], and so on to
(524288, 1048576]. The names are those of Glyph's files; its first bin, ``0k_8k``, also takes chats below 4096 tokens,
which the official data do not contain. `tiktoken` counts the tokens; without its vocabulary file they are estimated.
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
"""Upper edge of each bin, in tokens."""

BINS = ("0k_8k", "8k_16k", "16k_32k", "32k_64k", "64k_128k", "128k_256k", "256k_512k", "512k_1024k")
BEYOND = "over_1024k"
"""The bin of anything longer."""

_RANGE = re.compile(r"(\d{1,4})\s*([km]?)\s*[-_]\s*(\d{1,4})\s*([km]?)", re.IGNORECASE)


def bin_of(tokens: int) -> str:
    """The bin of a number of tokens. Upper edges are inclusive."""
    index = bisect_left(EDGES, tokens)
    return BINS[index] if index < len(BINS) else BEYOND


def upper_edge(bins: Collection[str]) -> float:
    """Upper edge of the longest of some bins, in tokens; infinite if there are none."""
    return max((EDGES[BINS.index(name)] if name in BINS else inf for name in bins), default=inf)


def parse_bin(text: str) -> tuple[str, ...]:
    """The bins of a range such as ``0-8k``, ``4k-8k`` (the official name of the first), ``0k_8k`` or ``0-128k``.

    Raises
    ------
    UserError
        If it is not a range, or does not begin and end at an edge.
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
"""UTF-8 bytes per token. Counted with tiktoken: 4.8 on 610 KB of licence texts, 4.4 on 60 KB of Markdown, 3.7 on 2.5 MB
of Python code; on a few sentences each, 4.9 for answers of a chat model, 4.6 for Chinese, 4.0 for Japanese, 7.6 for
Russian. MRCR's samples have 4.8 to 4.9 characters per token above 64k tokens and 4.3 to 5.0 below, according to
published lengths of its bins."""

DOWNLOAD_S = 30.0
"""Timeout for the download of the vocabulary (3.6 MB); tiktoken itself has none."""

MARK = "<|endoftext|>"
"""A token of o200k's own, which no text has."""

_LONG_BLANK = re.compile(r"\s{1000,}+")
_MOST_BLANK = 100_000
"""Longest white space that is tokenized: on much longer runs tiktoken's regular expression overflows its stack."""


@cache
def encoding() -> "Encoding | None":
    """The o200k encoding, downloaded once or found in ``TIKTOKEN_CACHE_DIR``; None if it is not available."""
    found: list[Encoding] = []

    def fetch() -> None:
        try:
            import tiktoken

            found.append(tiktoken.get_encoding("o200k_base"))
        except Exception:  # not installed, no network, a proxy's error page: fall back to the estimate
            return

    thread = Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(DOWNLOAD_S)
    return found[0] if found else None


def estimate(text: str) -> int:
    """Estimated number of tokens: UTF-8 bytes divided by `BYTES_PER_TOKEN`, rounded up."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -int(-size // BYTES_PER_TOKEN)


def count(texts: Iterable[str], most: float = inf) -> tuple[int, str]:
    """Sum of the tokens of several texts, each encoded separately as in the data card of `openai/mrcr`.

    Stops as soon as there are more than `most`.

    Returns
    -------
    tokens : int
    source : str
        ``o200k`` if all were counted, else ``estimate``.
    """
    total, source, encoder = 0, "o200k", encoding()
    together: list[str] = []
    for text in texts:
        if encoder is None or _is_endless(text):
            source = "estimate"
            total += estimate(text)
        elif most == inf:
            together.append(text)
        else:
            total += len(encoder.encode_ordinary(text))
        if total > most:
            break
    return total + (_tokens(encoder, together) if encoder and together else 0), source


def _is_endless(text: str) -> bool:
    return len(text) > _MOST_BLANK and any(m.end() - m.start() > _MOST_BLANK for m in _LONG_BLANK.finditer(text))


def _tokens(encoder: "Encoding", texts: list[str]) -> int:
    """Sum of the tokens of several texts, in one call, during which other threads can work.

    What is before and behind the mark is encoded as texts of their own.
    """
    joined = MARK.join(texts)
    if joined.count(MARK) >= len(texts):  # a text that has it, where it is text
        return sum(len(encoder.encode_ordinary(text)) for text in texts)
    return len(encoder.encode(joined, allowed_special={MARK}, disallowed_special=())) - (len(texts) - 1)
