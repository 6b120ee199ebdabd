"""What runs show and what they do not: every arm against the plain arm on the same samples, with its uncertainty."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freqq.errors import UserError
from freqq.report.context import command, differing, labels
from freqq.report.results import ArmResults, Results, Samples, bin_order, read_results
from freqq.report.significance import detectable, holm, sign_flip_p
from freqq.report.statistics import Estimate, macro_estimate, mean_estimates, ratio_estimate
from freqq.report.summary import COSTS
from freqq.report.wording import words

RATES = {
    "image_bytes": ("image_bytes", "image_bytes_raw"),
    "token_bytes": ("token_bytes", "token_bytes_raw"),
    "tokens": ("vision_tokens", "vision_tokens_full"),
}
"""The three rates, each a column over a column. They stay apart."""


@dataclass(frozen=True)
class BinScore:
    """One bin of context length: `n` samples, their mean score, and the paired difference if there is a plain arm."""

    bin: str
    n: int
    score: Estimate
    difference: Estimate | None


@dataclass(frozen=True)
class Comparison:
    """One arm at one needle count (None: all together), and what it loses to the plain arm on the same samples.

    What needs the plain arm is None without one, and for the plain arm itself. Scores are fractions of 1; failed
    samples count as 0.

    Parameters
    ----------
    run, plain_run : str
        Labels of the runs that the arm and its plain arm are of.
    context : int
        Arms of one context may be compared: the same model, data, rendering and generation.
    n, n_paired, n_failed : int
        Samples, those of them that the plain arm has, too, and those that failed.
    score, macro : Estimate
        The mean over samples, and the mean over bins of context length of the bins' means.
    exact, baseline_exact, difference_exact : float
        Fraction of exact answers, the plain arm's on the paired samples, and the difference there.
    baseline, difference, macro_difference, retention : Estimate
        Over the paired samples: the plain arm's score, the mean difference and that of the bins' means, and the ratio
        of the two means.
    p_value, p_holm : float
        Of the difference (`freqq.report.significance`), and corrected for all comparisons of the `Evidence`.
    wins, ties, losses : int
        Paired samples with a higher, equal and lower score.
    detectable : float
        The smallest difference that so many samples could have shown.
    rates : mapping
        `RATES`: total bytes or tokens over the total of the raw, of the samples where they were measured.
    costs : mapping
        Means of `COSTS` over the samples that did not fail.
    words : str
        Sign and size of the difference.
    """

    run: str
    plain_run: str | None
    context: int
    model: str
    task: str
    needles: int | None
    method: str
    level: str
    params: str
    config_hash: str
    n: int
    n_paired: int
    n_failed: int
    score: Estimate
    macro: Estimate
    exact: float
    baseline: Estimate | None
    baseline_exact: float | None
    difference: Estimate | None
    macro_difference: Estimate | None
    difference_exact: float | None
    retention: Estimate | None
    p_value: float | None
    p_holm: float | None
    wins: int | None
    ties: int | None
    losses: int | None
    detectable: float | None
    rates: Mapping[str, float | None]
    costs: Mapping[str, float | None]
    bins: tuple[BinScore, ...]
    words: str

    @property
    def is_plain(self) -> bool:
        """Whether nothing was compressed."""
        return self.method == "none"

    @property
    def arm(self) -> str:
        """Method and level in one."""
        return "no compression" if self.is_plain else f"{self.method} {self.level}"


@dataclass(frozen=True)
class RunFacts:
    """What it takes to reproduce a run.

    Parameters
    ----------
    label : str
        Its directory's name, with as much of the path as tells it from the other runs.
    command : str
        The command that repeats it.
    arms : tuple of mappings
        ``method level params config_hash`` of each.
    hardware, versions : tuples
        All that its rows were made with.
    """

    label: str
    path: Path
    command: str
    context: int
    task: str
    model: str
    model_revision: str
    dtype: str
    data: str
    data_revision: str
    generation: str
    settings: Mapping[str, Any]
    arms: tuple[Mapping[str, str], ...]
    versions: tuple[Mapping[str, Any], ...]
    hardware: tuple[Mapping[str, Any], ...]
    n_samples: int
    n_rows: int
    n_failed: int
    started_at: str
    ended_at: str


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
    contexts, warnings = _contexts(results, names)
    comparisons: list[Comparison] = []
    for i, run in enumerate(results):
        partners = [j for j in (i, *range(len(results))) if contexts[j] == contexts[i] and results[j].plain is not None]
        donor = partners[0] if partners else None
        plain = None if donor is None else results[donor].plain
        if plain is None:
            warnings.append(f"{names[i]} has no plain arm, nor has another run with its settings: nothing is paired")
        elif donor != i:
            warnings.append(f"{names[i]} has no plain arm: it is paired with that of {names[donor or 0]}")
        needles = run.needles
        comparisons += [
            compare_arm(
                arm, plain, count, run=names[i], plain_run=None if donor is None else names[donor],
                context=contexts[i], model=str(run.description["settings"].get("model")), task=run.task,
            )
            for count in (*needles, *([None] if len(needles) > 1 else []))
            for arm in run.arms
            if len(arm.samples.of(count))
        ]  # fmt: skip
    corrected = with_holm(comparisons)
    facts = tuple(_facts(r, n, c) for r, n, c in zip(results, names, contexts, strict=True))
    return Evidence(facts, tuple(corrected), tuple(warnings), headline(corrected))


def compare_arm(
    arm: ArmResults,
    plain: ArmResults | None,
    needles: int | None,
    *,
    run: str,
    plain_run: str | None,
    context: int,
    model: str,
    task: str,
) -> Comparison:
    """An arm beside a reference on the samples that both have. An arm is not compared with itself."""
    own = arm.samples.of(needles)
    theirs = None if plain is None or plain is arm or arm.is_plain else plain.samples.of(needles)
    mine, other = (None, None) if theirs is None else paired(own, theirs)
    difference = None if mine is None or other is None else mine.score - other.score
    bins = bin_order(own.bins)
    comparison = Comparison(
        run=run,
        plain_run=None if theirs is None else plain_run,
        context=context,
        model=model,
        task=task,
        needles=needles,
        method=arm.method,
        level=arm.level,
        params=arm.params,
        config_hash=arm.config_hash,
        n=len(own),
        n_paired=0 if mine is None else len(mine),
        n_failed=sum(error is not None for error in own.errors),
        score=mean_estimates(own.score[:, None])[0],
        macro=macro_estimate(_by_bin(own, own.score)),
        exact=float(own.values["exact"].mean()),
        baseline=None,
        baseline_exact=None,
        difference=None,
        macro_difference=None,
        difference_exact=None,
        retention=None,
        p_value=None,
        p_holm=None,
        wins=None,
        ties=None,
        losses=None,
        detectable=None,
        rates={name: _rate(own, *columns) for name, columns in RATES.items()},
        costs=_costs(own),
        bins=tuple(_bin_score(bin, own, mine, difference) for bin in bins),
        words=words(None),
    )
    if mine is None or other is None or difference is None or not len(mine):
        return comparison if not arm.is_plain else replace(comparison, words="no compression")
    estimate, baseline = mean_estimates(np.column_stack([difference, other.score]))
    retention = ratio_estimate(mine.score.tolist(), other.score.tolist())
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    return replace(
        comparison,
        baseline=baseline,
        baseline_exact=float(other.values["exact"].mean()),
        difference=estimate,
        macro_difference=macro_estimate(_by_bin(mine, difference)),
        difference_exact=float((mine.values["exact"] - other.values["exact"]).mean()),
        retention=None if isnan(retention.mean) else retention,
        p_value=sign_flip_p(difference),
        wins=wins,
        ties=len(difference) - wins - losses,
        losses=losses,
        detectable=detectable(difference),
        words=words(estimate, wins + losses),
    )


def paired(own: Samples, theirs: Samples) -> tuple[Samples, Samples]:
    """The samples that both have, in the same order."""
    places = {id: i for i, id in enumerate(theirs.ids)}
    at = [i for i, id in enumerate(own.ids) if id in places]
    return own.take(at), theirs.take([places[own.ids[i]] for i in at])


def with_holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with their p-values corrected for there being so many."""
    tested = [i for i, c in enumerate(comparisons) if c.p_value is not None]
    corrected = dict(zip(tested, holm([comparisons[i].p_value or 0.0 for i in tested]), strict=True))
    return [replace(c, p_holm=corrected.get(i)) for i, c in enumerate(comparisons)]


def headline(comparisons: Sequence[Comparison]) -> str:
    """The most that the comparisons say, in one sentence."""
    found = [c for c in comparisons if c.difference is not None]
    if not found:
        return "Nothing is compared: no run has both a method and no compression."
    worst = min(found, key=lambda c: c.difference.mean if c.difference else 0.0)
    changed = [c for c in found if c.p_holm is not None and c.p_holm < 0.05]
    return (
        f"{len(changed)} of {len(found)} comparisons differ from no compression (Holm-corrected, 5 %); "
        f"{worst.arm} {worst.words}."
    )


def _contexts(results: Sequence[Results], names: Sequence[str]) -> tuple[list[int], list[str]]:
    """The number of each run's context, and what keeps runs apart."""
    firsts: list[int] = []
    contexts, warnings = [], []
    for i, run in enumerate(results):
        own = next((c for c, first in enumerate(firsts) if not differing(results[first], run)), None)
        if own is None:
            if firsts:
                reasons = "; ".join(differing(results[firsts[0]], run))
                warnings.append(f"{names[i]} is shown apart from {names[firsts[0]]}: {reasons}")
            firsts.append(i)
            own = len(firsts) - 1
        contexts.append(own)
    return contexts, warnings


def _facts(run: Results, label: str, context: int) -> RunFacts:
    description, settings = run.description, run.description.get("settings", {})
    return RunFacts(
        label=label,
        path=run.path,
        command=command(settings, run.path),
        context=context,
        task=run.task,
        model=str(settings.get("model")),
        model_revision=str(description.get("model_revision")),
        dtype=str(description.get("dtype")),
        data=str(settings.get("data")),
        data_revision=str(description.get("data_revision")),
        generation=str(settings.get("generation", "greedy")),
        settings=settings,
        arms=tuple(description["arms"]),
        versions=run.versions,
        hardware=run.hardware,
        n_samples=len({id for arm in run.arms for id in arm.samples.ids}),
        n_rows=sum(len(arm.samples) for arm in run.arms),
        n_failed=sum(error is not None for arm in run.arms for error in arm.samples.errors),
        started_at=run.started_at,
        ended_at=run.ended_at,
    )


def _bin_score(bin: str, own: Samples, mine: Samples | None, difference: NDArray[np.float64] | None) -> BinScore:
    inside = np.array([b == bin for b in own.bins])
    change = None
    if mine is not None and difference is not None:
        change = mean_estimates(difference[np.array([b == bin for b in mine.bins], bool), None])[0]
    return BinScore(bin, int(inside.sum()), mean_estimates(own.score[inside, None])[0], change)


def _by_bin(samples: Samples, values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    bins = np.array(samples.bins, object)
    return [values[bins == bin] for bin in bin_order(samples.bins)]


def _rate(samples: Samples, column: str, raw: str) -> float | None:
    part, whole = samples.values[column], samples.values[raw]
    known = np.isfinite(part) & np.isfinite(whole)
    total = float(whole[known].sum())
    return float(part[known].sum()) / total if total else None


def _costs(samples: Samples) -> dict[str, float | None]:
    good = np.array([error is None for error in samples.errors])
    found: dict[str, float | None] = {}
    for name in COSTS:
        column = samples.values[name][good]
        known = column[np.isfinite(column)]
        found[name] = float(known.mean()) if known.size else None
    return found
