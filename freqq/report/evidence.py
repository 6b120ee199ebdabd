"""What runs show and what they do not: every arm against the plain arm on the same samples, with its uncertainty."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from freqq.errors import UserError
from freqq.report.comparison import RATES, Arm, BinScore, Comparison, compare
from freqq.report.context import RunFacts, facts, find_contexts, labels
from freqq.report.results import Results, read_results
from freqq.report.scored import scored
from freqq.report.significance import holm
from freqq.report.wording import UNANSWERED, hedged

__all__ = ["RATES", "BinScore", "Comparison", "Evidence", "RunFacts", "gather"]


@dataclass(frozen=True)
class Evidence:
    """All comparisons of some runs.

    Parameters
    ----------
    warnings : tuple of str
        What was not merged, and why.
    headline : str
        What is to be said first, in one sentence.
    """

    runs: tuple[RunFacts, ...]
    comparisons: tuple[Comparison, ...]
    warnings: tuple[str, ...]
    headline: str


def gather(paths: Sequence[Path]) -> Evidence:
    """Compare every arm of some runs with the plain arm on the same samples.

    The plain arm is the run's own, or that of the first other run that differs in nothing but its arms and samples.

    Raises
    ------
    UserError
        If there is no run, one is given twice, is no run directory, or is not merged yet.
    FreqqError
        If results are damaged.
    """
    return weigh([read_results(path) for path in unique(paths)])


def unique(paths: Sequence[Path]) -> list[Path]:
    """The run directories, if none is given twice."""
    if not paths:
        raise UserError("give at least one run directory")
    for path, times in Counter(p.resolve() for p in paths).items():
        if times > 1:
            raise UserError(f"{path} is given {times} times: give each run once")
    return list(paths)


def weigh(results: Sequence[Results]) -> Evidence:
    """`gather` for results that are read already."""
    names = labels([r.path for r in results])
    contexts, warnings = find_contexts(results, names)
    comparisons: list[Comparison] = []
    for i, run in enumerate(results):
        partners = [j for j in (i, *range(len(results))) if contexts[j] == contexts[i] and results[j].plain is not None]
        donor = partners[0] if partners else None
        if donor is None:
            warnings.append(f"{names[i]} has no plain arm, nor has another run with its settings: nothing is paired")
        own = arms(run, names[i], contexts[i])
        theirs = own if donor in (i, None) else arms(results[donor], names[donor], contexts[i])
        plain = {arm.needles: arm for arm in theirs if arm.results.is_plain}
        found = [compare(arm, None if arm.results.is_plain else plain.get(arm.needles)) for arm in own]
        if donor not in (i, None):
            warnings.append(
                f"{names[i]} has no plain arm: it is paired with that of {names[donor]}, "
                f"on {max(c.n_paired for c in found)} of its {max(c.n for c in found)} samples"
            )
        comparisons += found
    corrected = with_holm(comparisons)
    runs = tuple(facts(r, n, c) for r, n, c in zip(results, names, contexts, strict=True))
    return Evidence(runs, tuple(corrected), tuple(warnings), headline(corrected))


def arms(run: Results, name: str, context: int) -> list[Arm]:
    """A run's arms at each of its needle counts, then over all of them if there are several (None)."""
    counts = [*run.needles, None] if len(run.needles) > 1 else [*run.needles]
    model = str(run.description.get("settings", {}).get("model"))
    found = [(count, arm, own) for count in counts for arm in run.arms if len(own := arm.samples.of(count))]
    return [
        Arm(name, context, model, run.task, count, arm, scores)
        for (count, arm, _), scores in zip(found, scored([own for _, _, own in found]), strict=True)
    ]


def with_holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with p-values that are corrected for there being so many, and words that heed it."""
    corrected = iter(holm([c.p_value for c in comparisons if c.p_value is not None]))
    count = sum(c.p_value is not None for c in comparisons)
    found = []
    for c in comparisons:
        if c.p_value is not None and c.difference is not None:
            p_holm, text = next(corrected), UNANSWERED if c.unanswered else c.words
            text = hedged(text, c.difference, (c.wins or 0, c.losses or 0), p_holm, count)
            c = replace(c, p_holm=p_holm, words=text)
        found.append(c)
    return found


def headline(comparisons: Sequence[Comparison]) -> str:
    """The most that the comparisons say, in one sentence.

    How far each rate goes down without a loss that the samples show, over all needle counts of a run, and how many
    comparisons do show one. The rates stay apart.
    """
    found = [c for c in comparisons if c.difference is not None]
    if not found:
        return "Nothing is compared: there is no method beside no compression on the same samples."
    several = {c.run for c in found if c.needles is None}
    whole = [c for c in found if c.needles is None or c.run not in several]
    kept = [text for name, what in RATES_IN_WORDS.items() if (text := _furthest(whole, name, what))]
    losing = sum(c.verdict == "loses" for c in found)
    first = f"No loss is shown at {', '.join(kept)}" if kept else "Nothing is smaller without a loss"
    return f"{first}; {losing} of {len(found)} comparisons lose."


RATES_IN_WORDS = {
    "tokens": "tokens in the sequence",
    "token_bytes": "bytes of stored tokens",
    "image_bytes": "bytes of images",
}


def _furthest(comparisons: Sequence[Comparison], rate: str, what: str) -> str:
    """The lowest rate at which no loss is shown, and how large a loss could be there; empty if none is below 1."""
    kept = [
        (value, c.difference.low, c)
        for c in comparisons
        if (value := c.rates[rate]) is not None
        and value < 0.995
        and c.difference is not None
        and c.difference.high >= 0
    ]
    if not kept:
        return ""
    value, low, best = min(kept, key=lambda k: k[0])
    changed = (best.wins or 0) + (best.losses or 0)
    sure = f"a loss of more than {max(0.0, -100 * low):.1f} points can be excluded" if changed else "no score changed"
    return f"{100 * value:.0f} % of the {what} ({best.arm}: {sure})"
