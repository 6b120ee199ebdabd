"""Orders that do not depend on how a run was sharded: of sample ids, and of bins."""

import re
from collections.abc import Iterable

from freqq.data.bins import BINS


def natural_order(names: Iterable[str]) -> list[str]:
    """Names as people sort them: ``s-2`` before ``s-10``."""
    return sorted(names, key=lambda name: (_natural(name), name))


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    parts = enumerate(re.split(r"([0-9]+)", name))
    return tuple((len(digits := part.lstrip("0")), digits) if i % 2 else (0, part) for i, part in parts)


def bin_order(bins: Iterable[str]) -> list[str]:
    """The bins that occur, by length of context."""
    return sorted(natural_order(set(bins)), key=lambda b: BINS.index(b) if b in BINS else len(BINS))
