"""How responses ended that are no answer, or no whole one."""

from collections import Counter
from collections.abc import Iterable

from freqq.data.responses import ANSWERED, CUT_THINKING, OUTCOMES


def unanswered(outcomes: Iterable[tuple[str | None, bool | None]]) -> dict[str, int]:
    """How many responses ended otherwise than answered, by how, in the order of `OUTCOMES`.

    Parameters
    ----------
    outcomes : pairs of a row's ``outcome`` and ``truncated``
        Older runs have the second alone, and runs that are older still neither; a sample that failed has no response.
    """
    counts = Counter(outcome or (CUT_THINKING if truncated else ANSWERED) for outcome, truncated in outcomes)
    return {name: counts[name] for name in OUTCOMES if name != ANSWERED and counts[name]}


def in_words(counts: dict[str, int], n: int) -> str:
    """As ``cut while thinking: 12 of 100, empty: 1 of 100``; empty for none."""
    return ", ".join(f"{name}: {count} of {n}" for name, count in counts.items())
