"""How many o200k tokens a text has: counted by `tiktoken`, or estimated where its file of tokens cannot be had."""

import re
from collections.abc import Iterable
from functools import cache
from math import inf
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiktoken import Encoding

BYTES_PER_TOKEN = 4.8
"""UTF-8 bytes a token. Counted with the real tokens: 4.8 on 610 kB of licence texts, 4.4 on 60 kB of Markdown, 3.7 on
2.5 MB of Python code; on a few sentences each, 4.9 for answers of a chat model, 4.6 for Chinese, 4.0 for Japanese, 7.6
for Russian. MRCR's own samples have 4.8 to 4.9 characters a token from 64k tokens on, and 4.3 to 5.0 below, by the
lengths in characters that others have published for its bins."""

DOWNLOAD_S = 30.0
"""How long to wait for the file of tokens (3.6 MB), which tiktoken itself would wait for without end."""

_LONG_BLANK = re.compile(r"\s{1000,}+")
_MOST_BLANK = 100_000
"""Longest run of white space that is counted: tiktoken's regular expression overflows its stack on much longer ones."""


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
    return -int(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


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
