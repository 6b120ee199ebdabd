"""What is to be said of some comparisons first, in one sentence."""

from collections.abc import Sequence
from math import ceil, log

from freqq.report.bootstrap import CONFIDENCE
from freqq.report.comparison import Comparison

MARGIN = 0.05
"""The largest loss, as a fraction of 1, that may be left open where a size is said to be without one.

That no loss is shown says nothing by itself: it is the easier to say the fewer samples there are. So it is only said
together with a loss that is excluded. How much may be left open is a choice: five points are small enough to matter
little, and large enough for some hundred samples to exclude them.
"""

ENOUGH = ceil(log(1 - CONFIDENCE) / log(1 - MARGIN))
"""Samples below which `MARGIN` is never excluded, whatever they scored: 59.

An interval is of the samples that were seen. With fewer than these, one in twenty of all samples may be answered wholly
wrong, and in more than one of twenty runs none of them is seen.
"""

RATES_IN_WORDS = {
    "tokens": "tokens in the sequence",
    "token_bytes": "bytes of stored tokens",
    "image_bytes": "bytes of images",
}

SMALLER = 0.995
"""Rates from here on are shown as 100 %."""


def headline(comparisons: Sequence[Comparison]) -> str:
    """The most that the comparisons say, in one sentence.

    How far each rate goes down without a loss, over all needle counts of a run, and how many comparisons show one. An
    arm is without a loss if none is shown and one of `MARGIN` is excluded. If none is, but some show no loss either,
    the samples are too few to say, and that is said. The rates stay apart.
    """
    compared = [c for c in comparisons if c.difference is not None]
    if not compared:
        return "Nothing is compared: there is no method beside no compression on the same samples."
    found = [c for c in compared if not c.unanswered]
    if not found:
        return "Nothing is compared: wherever a method stands beside no compression, all answers of one of them failed."
    several = {c.run for c in found if c.needles is None}
    whole = [c for c in found if c.needles is None or c.run not in several]
    smaller = [c for c in whole if any(_smaller(c, rate) for rate in RATES_IN_WORDS)]
    losing = sum(c.verdict == "loses" for c in found)
    return f"{_first(smaller)}; {losing} of {len(found)} comparisons lose{unanswered(compared)}."


def unanswered(compared: Sequence[Comparison]) -> str:
    """What to add for comparisons that are not counted as all answers of one side failed; empty if there are none."""
    count = sum(c.unanswered for c in compared)
    if not count:
        return ""
    return f", and {count} more {'is' if count == 1 else 'are'} not counted, as all answers failed"


def _first(smaller: Sequence[Comparison]) -> str:
    if not smaller:
        return "No method makes anything smaller"
    if kept := [c for c in smaller if _is_open(c) and _excluded(c)]:
        margin = f"{100 * MARGIN:g} points"
        return f"No loss is shown, and one of more than {margin} is excluded, at {', '.join(_furthest(kept))}"
    if undecided := [c for c in smaller if _is_open(c)]:
        return _too_few(max(undecided, key=lambda c: (c.n_paired, c.difference.low if c.difference else 0)))
    return "Nothing is smaller without a loss"


def _is_open(c: Comparison) -> bool:
    """Whether no loss is shown."""
    return c.verdict != "loses"


def _excluded(c: Comparison) -> bool:
    """Whether a loss of more than `MARGIN` is excluded, and no smaller one likely: the interval reaches up to 0."""
    return c.difference is not None and c.n_paired >= ENOUGH and c.difference.low >= -MARGIN and c.difference.high >= 0


def _smaller(c: Comparison, rate: str) -> bool:
    value = c.rates[rate]
    return value is not None and value < SMALLER


def _furthest(kept: Sequence[Comparison]) -> list[str]:
    """The lowest of each rate, with the arm; rates of which the same arm is the lowest stand together."""
    shown: list[tuple[Comparison, list[str]]] = []
    for rate, what in RATES_IN_WORDS.items():
        own = [(value, c) for c in kept if (value := c.rates[rate]) is not None and value < SMALLER]
        if not own:
            continue
        value, best = min(own, key=lambda pair: pair[0])
        text = f"{100 * value:.0f} % of the {what}"
        if shown and shown[-1][0] is best:
            shown[-1][1].append(text)
        else:
            shown.append((best, [text]))
    return [f"{' and '.join(texts)} ({_named(c)})" for c, texts in shown]


def _named(c: Comparison) -> str:
    return c.arm if c.wins or c.losses else f"{c.arm}, no score of {c.n_paired} changed"


def _too_few(c: Comparison) -> str:
    """What cannot be said, of the arm with the most samples."""
    could = (
        ""
        if c.detectable is None
        else (f" (four of five such runs would show a difference of {100 * c.detectable:.1f} points)")
    )
    samples = "1 sample is" if c.n_paired == 1 else f"{c.n_paired} samples are"
    return f"{samples} too few to say whether a smaller size loses less than {100 * MARGIN:g} points{could}"
