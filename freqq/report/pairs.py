"""Paired comparisons of an arm with a reference, on the samples that both answered.

Samples are paired by id, within a run and between runs. Failed samples are counted and left out of the pairs;
`Comparison.as_zero` is the difference if they count as 0.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Any

import numpy as np

from freqq.data.responses import ANSWERED
from freqq.report.comparison import ERROR_RATES, RATES, Comparison, Failure, Part, arm_name
from freqq.report.results import COSTS, KV_PARTS, ArmResults, Results, Samples, Texts, bin_order
from freqq.report.statistics import Distribution, Floats, detectable, differences, holm, means, ratio, stratified


@dataclass(frozen=True)
class Arm:
    """An arm's samples at one needle count (None: all), with their origin."""

    run: str
    context: int
    model: str
    task: str
    needles: int | None
    results: ArmResults
    samples: Samples

    @property
    def name(self) -> str:
        """Method and level in one."""
        return arm_name(self.results.method, self.results.level)


def arms(run: Results, name: str, context: int) -> list[Arm]:
    """A run's arms at each of its needle counts and, if there are several, over all of them (None)."""
    counts = [*run.needles, None] if len(run.needles) > 1 else [*run.needles]
    model = str(run.description.get("settings", {}).get("model"))
    found = (
        Arm(name, context, model, run.task, n, arm, arm.samples.with_needles(n)) for n in counts for arm in run.arms
    )
    return [arm for arm in found if len(arm.samples)]


class _Batch:
    """Samples whose means are estimated together, each once: most of the time goes into large matrix products."""

    def __init__(self, estimate: Callable[[Sequence[Floats]], list[Distribution]]) -> None:
        self._estimate = estimate
        self._samples: dict[bytes, Floats] = {}
        self._results: dict[bytes, Distribution] = {}

    def add(self, values: Floats) -> Callable[[], Distribution]:
        """A function that returns the result after `run`."""
        key = values.tobytes()
        self._samples[key] = values
        return lambda: self._results[key]

    def run(self) -> None:
        self._results = dict(zip(self._samples, self._estimate(list(self._samples.values())), strict=True))


def compare_all(pairs: Sequence[tuple[Arm, Arm | None]]) -> list[Comparison]:
    """Compare arms with their references; None, or the arm itself, gives a comparison without a difference."""
    scores, changes = _Batch(means), _Batch(differences)
    started = [_start(arm, reference, scores, changes) for arm, reference in pairs]
    scores.run()
    changes.run()
    return [finish() for finish in started]


def with_holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with p-values corrected for multiple testing."""
    corrected = iter(holm([c.p_value for c in comparisons if c.p_value is not None]))
    return [c if c.p_value is None else replace(c, p_holm=next(corrected)) for c in comparisons]


def _start(arm: Arm, reference: Arm | None, scores: _Batch, changes: _Batch) -> Callable[[], Comparison]:
    """Add all samples of a comparison to the batches; returns a function that builds the comparison after they ran."""
    samples = arm.samples
    shared = None if reference is None or reference.results is arm.results else _pair(samples, reference.samples)
    good = samples.take(np.flatnonzero(~samples.failed))
    score, macro = scores.add(good.score), scores.add(_macro(good.score, good.bins, samples.bins))
    median = _median(samples.values["density"])
    dense = np.where(samples.values["density"] >= median, "dense", "sparse").astype(object)
    dense[np.isnan(samples.values["density"])] = None
    kinds = [
        _parts(samples, shared, labels, order if arm.needles is not None else [], scores, changes)
        for labels, order in (
            (samples.bins, bin_order(samples.bins)),
            (dense, ["sparse", "dense"] if np.isfinite(median) else []),
            (samples.labels["subtask"], _in_order(samples.labels["subtask"])),
        )
    ]
    subtasks = samples.labels["subtask"]
    several = len(set(subtasks) - {None}) > 1
    suite = scores.add(_macro(good.score, good.labels["subtask"], subtasks)) if several else None
    add = _start_reference(shared, scores, changes) if shared is not None and len(shared[0]) else None

    def finish() -> Comparison:
        bins, density, parts = (tuple(part() for part in kind) for kind in kinds)
        found = Comparison(
            run=arm.run, context=arm.context, model=arm.model, task=arm.task, needles=arm.needles,
            method=arm.results.method, level=arm.results.level, params=arm.results.params,
            config_hash=arm.results.config_hash, is_baseline=arm.results.is_baseline,
            n=len(samples), n_failed=int(samples.failed.sum()), score=score().estimate, macro=macro().estimate,
            suite=None if suite is None else suite().estimate, exact=_mean(good.values["exact"]),
            errors={n: _mean(good.values[n]) for n in ERROR_RATES if np.isfinite(good.values[n]).any()},
            rates={name: _rate(samples, *columns) for name, columns in RATES.items()}, costs=_costs(samples, good),
            outcomes=dict(Counter(o for o in samples.labels["outcome"] if o not in (None, ANSWERED))),
            failures=_failures(samples), bins=bins, density=density, density_median=median, subtasks=parts,
        )  # fmt: skip
        if add is None or reference is None:
            return found
        return replace(found, reference_run=reference.run, reference=reference.name, **add())

    return finish


def _start_reference(shared: tuple[Samples, Samples], scores: _Batch, changes: _Batch) -> Callable[[], dict[str, Any]]:
    mine, other = shared
    failed = mine.failed | other.failed
    counts = {"n_shared": len(mine), "n_paired": int((~failed).sum()), "reference_failed": int(other.failed.sum())}
    both = np.flatnonzero(~failed)
    own, before = mine.take(both), other.take(both)
    change = own.score - before.score
    zeros = np.where(mine.failed, 0.0, mine.score) - np.where(other.failed, 0.0, other.score)
    as_zero = changes.add(zeros) if failed.any() and len(both) else None
    difference, macro = changes.add(change), changes.add(_macro(change, own.bins, mine.bins))
    baseline = scores.add(before.score)
    exact, exact_before = _mean(own.values["exact"]), _mean(before.values["exact"])
    wins, losses = int((change > 0).sum()), int((change < 0).sum())

    def finish() -> dict[str, Any]:
        if not len(both):
            return {**counts}
        return {
            **counts,
            "baseline": baseline().estimate,
            "baseline_exact": exact_before,
            "difference": difference().estimate,
            "macro_difference": macro().estimate,
            "difference_exact": exact - exact_before,
            "retention": ratio(difference(), baseline()),
            "as_zero": None if as_zero is None else as_zero().estimate,
            "p_value": difference().p_value,
            "wins": wins,
            "ties": len(change) - wins - losses,
            "losses": losses,
            "detectable": detectable(change),
        }

    return finish


def _pair(own: Samples, theirs: Samples) -> tuple[Samples, Samples]:
    """The samples that both have, in the same order, with the first one's bins and labels."""
    if np.array_equal(own.ids, theirs.ids):
        return own, theirs.like(own)
    places = {id: i for i, id in enumerate(theirs.ids)}
    at = np.array([i for i, id in enumerate(own.ids) if id in places], np.int64)
    mine = own.take(at)
    return mine, theirs.take(np.array([places[id] for id in mine.ids], np.int64)).like(mine)


def _parts(
    samples: Samples, shared: tuple[Samples, Samples] | None, labels: Texts, order: Sequence[str],
    scores: _Batch, changes: _Batch,
) -> list[Callable[[], Part]]:  # fmt: skip
    by_id = dict(zip(samples.ids, labels, strict=True)) if shared is not None else {}
    shared_labels = np.array([by_id[id] for id in shared[0].ids], object) if shared is not None else None

    def one(name: str) -> Callable[[], Part]:
        inside = labels == name
        good = inside & ~samples.failed
        score, exact = scores.add(samples.score[good]), _mean(samples.values["exact"][good])
        change = None
        if shared is not None and shared_labels is not None:
            mine, other = shared
            pairs = (shared_labels == name) & ~mine.failed & ~other.failed
            change = changes.add(mine.score[pairs] - other.score[pairs])
        n, failed = int(inside.sum()), int((inside & samples.failed).sum())
        return lambda: Part(name, n, failed, score().estimate, exact, None if change is None else change().estimate)

    return [one(name) for name in order]


def _failures(samples: Samples) -> tuple[Failure, ...]:
    if not samples.failed.any():
        return ()
    first: dict[str, str] = {}
    for error, id in zip(samples.errors, samples.ids, strict=True):
        first.setdefault(error, id)
    counts = Counter(error for error in samples.errors if error is not None)
    return tuple(Failure(error, number, first[error]) for error, number in counts.most_common())


def _in_order(labels: Texts) -> list[str]:
    return [label for label in dict.fromkeys(labels) if label is not None]


def _macro(values: Floats, strata: Texts, planned: Texts) -> Floats:
    """Values whose mean is that of the strata's means; none if a planned stratum has no value, so that it is nan."""
    if len(set(strata)) < len(set(planned)):
        return np.empty(0)
    return stratified(values, strata) if len(set(strata)) > 1 else values


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else nan


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else nan


def _rate(samples: Samples, column: str, raw: str) -> float | None:
    part, whole = samples.values[column], samples.values[raw]
    known = np.isfinite(part) & np.isfinite(whole)
    total = float(whole[known].sum())
    return float(part[known].sum()) / total if total else None


def _costs(samples: Samples, good: Samples) -> dict[str, float | None]:
    def known() -> Iterator[tuple[str, float]]:
        for name in (*COSTS, *KV_PARTS):
            yield name, _mean(good.values[name])
        peaks = samples.values["peak_memory_bytes"]
        yield "peak_memory_bytes", float(np.nanmax(peaks)) if np.isfinite(peaks).any() else nan

    return {name: None if np.isnan(value) else value for name, value in known()}
