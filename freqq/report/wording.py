"""Numbers and verdicts as text, and the columns of tables of comparisons."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import isnan
from typing import Any

from freqq.report.comparison import Comparison
from freqq.report.statistics import ERROR, Estimate
from freqq.runs.settings import ALL, NONE, SAMPLE, SAMPLED

NOTHING = "-"
MARGIN = 0.05
"""The largest loss, as a fraction of 1, that may remain possible for an arm to count as "without a loss".

That no loss is seen means little by itself, least with few samples, so a larger loss must also be excluded. Five points
are a choice: small enough to matter little, large enough for a few hundred samples to exclude.
"""

RATES_IN_WORDS = {
    "tokens": "tokens in the sequence",
    "token_bytes": "bytes of stored tokens",
    "image_bytes": "bytes of images",
}

SMALLER = 0.995
"""Rates from here on are shown as 100 %."""


def fraction(value: float | None, signed: bool = False) -> str:
    """Three decimals without the leading zero: ``.936``, ``+.012``, ``1.000``."""
    if value is None or isnan(value):
        return NOTHING
    text = f"{value:+.3f}" if signed else f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 0.9995 else text


def estimate(found: Estimate | None, signed: bool = False) -> str:
    """``.936 [.901, .962]``."""
    if found is None or isnan(found.mean):
        return NOTHING
    if isnan(found.low):
        return fraction(found.mean, signed)
    return f"{fraction(found.mean, signed)} [{fraction(found.low, signed)}, {fraction(found.high, signed)}]"


def points(value: float | None, signed: bool = False) -> str:
    """A fraction of 1 in points of 100 with one decimal: ``-4.3``."""
    if value is None or isnan(value):
        return NOTHING
    text = f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    return "0.0" if float(text) == 0 else text


def percent(value: float | None) -> str:
    """A rate in percent with three digits: ``3.25 %``, ``61.0 %``, ``336 %``."""
    if value is None or isnan(value):
        return NOTHING
    share = 100 * value
    digits = 0 if share >= 99.95 else 1 if share >= 9.995 else 2
    return f"{share:,.{digits}f} %"


def sizes(settings: Mapping[str, Any]) -> str:
    """Of which pages a run's stored tokens were counted; empty for all."""
    return {
        SAMPLE: f"stored bytes of tokens are estimated from one page in {SAMPLED} of each sample (--sizes sample)",
        NONE: "stored bytes of tokens were not counted (--sizes none)",
    }.get(settings.get("sizes", ALL), "")


def p_value(value: float | None) -> str:
    """Three decimals: ``.032``, ``<.001``, ``1``. Never rounded up to .050 from below."""
    if value is None:
        return NOTHING
    if value < 0.001:
        return "<.001"
    shown = min(value, 0.049) if value < ERROR else value
    return "1" if value >= 0.9995 else f"{shown:.3f}"[1:]


def size(count: float | None) -> str:
    """A number of bytes in KB, MB or GB (powers of 1000)."""
    if count is None:
        return NOTHING
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1e3:.1f} KB"


def count(value: float | None) -> str:
    """A mean of whole numbers: ``151``, ``75.5``."""
    return NOTHING if value is None else f"{value:,.1f}".removesuffix(".0")


def milliseconds(value: float | None) -> str:
    """``12.3``."""
    return NOTHING if value is None else f"{value:,.1f}"


def counted(number: int, thing: str) -> str:
    """``1 sample``, ``2 samples``."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def needles(number: int | None) -> str:
    """``2 needles``, ``all needles``."""
    return "all needles" if number is None else counted(number, "needle") if number else "no needles"


def win_tie_loss(c: Comparison) -> str:
    """``3/90/7``: samples with higher, equal and lower scores."""
    return NOTHING if c.wins is None else f"{c.wins}/{c.ties}/{c.losses}"


def verdict(c: Comparison) -> str:
    """The result of a comparison in words; differences are in points of 100."""
    if c.difference is None:
        if c.all_failed is not None and c.n_shared:
            return f"not compared: {c.all_failed}"
        if c.n_shared:
            return f"not compared: {c.reference} and {c.arm} answered no sample in common"
        return "baseline" if c.is_baseline else "not compared"
    d, n = c.difference, c.n_paired
    if isnan(d.low):
        return "1 sample is too few to compare"
    if not (c.wins or c.losses):
        return f"No answer of {n} changed: a true effect is at most {points(max(-d.low, d.high))} points"
    between = f"{points(d.low, True)} and {points(d.high, True)} points"
    if (c.p_value if c.p_value is not None else 1.0) >= ERROR:
        few = f" ({counted(n, 'sample')} {'is' if n == 1 else 'are'} too few)" if max(-d.low, d.high) > MARGIN else ""
        return f"No clear difference: the true effect is between {between}{few}"
    worse = d.mean < 0
    changed, word = (c.losses, "worse") if worse else (c.wins, "better")
    average = f"on average {points(abs(d.mean))} points are {'lost' if worse else 'gained'}"
    how = f"{changed} of {n} answers got {word}; {average}"
    if c.verdict == "unclear":
        return f"Perhaps {word}: {how}, but with this many comparisons it may be chance"
    return f"{word.capitalize()}: {how} (between {between})"


def failures(c: Comparison) -> str:
    """Failures and their effect on the comparison, in a line; empty without failures."""
    parts = [f"{c.n_failed} of {c.n} answers failed"] if c.n_failed else []
    if c.reference_failed:
        parts.append(f"{c.reference_failed} of {c.n_shared} answers of {c.reference} failed")
    if parts and c.n_paired:
        parts.append(f"the comparison covers the {c.n_paired} samples that both answered")
    if c.as_zero is not None:
        z = c.as_zero
        ends = "" if isnan(z.low) else f" (between {points(z.low, True)} and {points(z.high, True)})"
        parts.append(f"if failed answers count as 0, the difference is {points(z.mean, True)} points{ends}")
    return "; ".join(parts)


def failures_as_0(c: Comparison) -> str:
    """Failures of a comparison whose numbers include them as 0."""
    return f"{c.n_failed} of {c.n} answers failed, and count as 0" if c.n_failed else ""


def outcomes(counts: Mapping[str, int], n: int) -> str:
    """Outcomes other than answers, such as ``cut while thinking: 12 of 100``; empty without any."""
    return ", ".join(f"{name}: {number} of {n}" for name, number in counts.items())


def power(c: Comparison) -> str:
    """The effect that this number of samples is likely to detect."""
    if c.detectable is None:
        return ""
    shown = f"only effects of {100 * c.detectable:.0f} points or more are likely to be detected (80 % power)"
    return f"with {counted(c.n_paired, 'sample')}, {shown}"


def headline(comparisons: Sequence[Comparison]) -> str:
    """The main result in one or two sentences.

    How low each rate gets without a loss, over all needle counts of a run, and how many comparisons show a loss. An arm
    is without a loss if none is seen and one of `MARGIN` is excluded, also if failed answers count as 0. If there is no
    such arm, but some show no loss, either answers failed or the samples are too few to tell.
    """
    compared = [c for c in comparisons if c.reference is not None]
    if not compared:
        return "Nothing is compared: there is no method beside a baseline on the same samples."
    found = [c for c in compared if c.difference is not None]
    if not found:
        return "Nothing is compared: no sample was answered by both a method and its baseline."
    several = {c.run for c in found if c.needles is None}
    whole = [c for c in found if c.needles is None or c.run not in several]
    smaller = [c for c in whole if any(_smaller(c, rate) for rate in RATES_IN_WORDS)]
    losing = sum(c.verdict == "worse" for c in found)
    total = f"{losing} of {counted(len(found), 'comparison')} got worse than the baseline"
    return f"{_first(smaller)}. {total}{_lost(compared)}."


def headline_against(compared: Sequence[Comparison], reference: str, run: str) -> str:
    """The number of comparisons with a reference that show a difference, in a sentence."""
    found = [c for c in compared if c.difference is not None]
    worse, better = (sum(c.verdict == verdict for c in found) for verdict in ("worse", "better"))
    unclear = len(found) - worse - better
    total = f"of {counted(len(found), 'comparison')} with {reference} of {run}"
    return f"{worse} {total} got worse, {better} got better, {unclear} show no clear difference{_lost(compared)}."


def _lost(compared: Sequence[Comparison]) -> str:
    """A clause about comparisons without pairs, which only failures can leave; empty if there are none."""
    number = sum(c.difference is None for c in compared)
    are = "is" if number == 1 else "are"
    return f"; {number} more {are} not counted, as no sample was answered by both" if number else ""


def _first(smaller: Sequence[Comparison]) -> str:
    if not smaller:
        return "No method makes anything smaller"
    margin = f"{100 * MARGIN:g} points"
    if kept := [c for c in smaller if c.verdict != "worse" and _excluded(c)]:
        return f"No loss of more than {margin} at {', '.join(_furthest(kept))}"
    if failing := [c for c in smaller if c.verdict != "worse" and _excluded(replace(c, as_zero=None))]:
        c = max(failing, key=lambda c: (c.n_paired, -c.n_failed))
        failed = f"{c.n_failed} of {counted(c.n, 'answer')} of {c.arm} failed"
        return f"No loss of more than {margin} is seen where both answered, but {failed}"
    if undecided := [c for c in smaller if c.verdict != "worse"]:
        best = max(undecided, key=lambda c: (c.n_paired, c.difference.low if c.difference else 0))
        are = "1 sample is" if best.n_paired == 1 else f"{best.n_paired} samples are"
        likely = f": {power(best)}" if best.detectable is not None else ""
        return f"{are} too few to say whether a smaller size loses less than {margin}{likely}"
    return "Nothing gets smaller without a loss"


def _excluded(c: Comparison) -> bool:
    """Whether a loss of more than `MARGIN` is excluded, also if failures count as 0, and no smaller loss is seen."""
    kept = c.difference is not None and c.difference.low >= -MARGIN and c.difference.high >= 0
    return kept and (c.as_zero is None or c.as_zero.low >= -MARGIN)


def _smaller(c: Comparison, rate: str) -> bool:
    value = c.rates[rate]
    return value is not None and value < SMALLER


def _furthest(kept: Sequence[Comparison]) -> list[str]:
    """The lowest value of each rate with its arm; rates with the same arm are joined."""
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
    return c.arm if c.wins or c.losses else f"{c.arm}, no answer of {c.n_paired} changed"


COLUMNS: dict[str, Callable[[Comparison], str]] = {
    "run": lambda c: c.run,
    "needles": lambda c: "all" if c.needles is None else str(c.needles),
    "method": lambda c: c.method,
    "level": lambda c: c.level,
    "n": lambda c: str(c.n),
    "failed": lambda c: str(c.n_failed),
    "score": lambda c: estimate(c.score),
    "mean": lambda c: fraction(c.score.mean),
    "macro": lambda c: estimate(c.macro),
    "exact": lambda c: fraction(c.exact),
    "cer": lambda c: fraction(c.errors.get("cer")),
    "wer": lambda c: fraction(c.errors.get("wer")),
    "difference": lambda c: estimate(c.difference, signed=True),
    "if failed = 0": lambda c: estimate(c.as_zero, signed=True),
    "win/tie/loss": win_tie_loss,
    "p": lambda c: p_value(c.p_value),
    "p (Holm)": lambda c: p_value(c.p_holm),
    "detectable": lambda c: fraction(c.detectable),
    "retention": lambda c: estimate(c.retention),
    "image bytes": lambda c: percent(c.rates["image_bytes"]),
    "token bytes": lambda c: percent(c.rates["token_bytes"]),
    "tokens": lambda c: percent(c.rates["tokens"]),
    "KV cache": lambda c: size(c.costs.get("kv_prompt_bytes")),
    "outcomes": lambda c: outcomes(c.outcomes, c.n) or NOTHING,
    "in words": verdict,
}
"""Columns of tables, by their names in Markdown and LaTeX; terminal tables may use other headings."""
