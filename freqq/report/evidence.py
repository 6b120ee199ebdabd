"""What runs show and what they do not: every arm against the plain arm on the same samples, with its uncertainty."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from freqq.errors import UserError
from freqq.report.comparison import RATES, Arm, BinScore, Comparison, compare
from freqq.report.context import RunFacts, facts, find_contexts, labels
from freqq.report.headline import headline
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
    pairs : tuple of (path, path)
        See `pairs`.
    """

    runs: tuple[RunFacts, ...]
    comparisons: tuple[Comparison, ...]
    warnings: tuple[str, ...]
    headline: str
    pairs: tuple[tuple[Path, Path], ...] = ()


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
    donors = _donors(results, contexts)
    for i, (run, donor) in enumerate(zip(results, donors, strict=True)):
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
    return Evidence(runs, tuple(corrected), tuple(warnings), headline(corrected), _pairs(results, donors))


def pairs(results: Sequence[Results]) -> tuple[tuple[Path, Path], ...]:
    """Each run's directory with that of the run whose plain arm it is paired with, if there is one."""
    contexts, _ = find_contexts(results, labels([r.path for r in results]))
    return _pairs(results, _donors(results, contexts))


def _pairs(results: Sequence[Results], donors: Sequence[int | None]) -> tuple[tuple[Path, Path], ...]:
    found = zip(results, donors, strict=True)
    return tuple((run.path, results[donor].path) for run, donor in found if donor is not None)


def _donors(results: Sequence[Results], contexts: Sequence[int]) -> list[int | None]:
    """The place of the run whose plain arm each run has: its own, or else the first in its context."""
    firsts = {c: i for i, c in reversed([*enumerate(contexts)]) if results[i].plain is not None}
    return [firsts.get(c) if run.plain is None else i for i, (run, c) in enumerate(zip(results, contexts, strict=True))]


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
