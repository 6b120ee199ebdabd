"""Rank the arms of many runs: one board for each context, needle count and number of samples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import inf
from pathlib import Path

import numpy as np

from freqq.errors import FreqqError, UserError
from freqq.names import unknown
from freqq.report.comparison import Comparison
from freqq.report.pairs import Arm, arms, compare_all, with_holm
from freqq.report.results import Results, Samples, read_results
from freqq.report.run_facts import RunFacts, distinct_titles, facts, find_contexts
from freqq.report.run_folders import labels
from freqq.report.statistics import Estimate
from freqq.report.wording import counted, needles
from freqq.runs.directory import RUN

LEAST = 10
"""Default of the fewest samples to rank, and of an arm's fewest answers."""

ESTIMATED: dict[str, Callable[[Comparison], Estimate | None]] = {
    "score": lambda c: c.score,
    "macro": lambda c: c.macro,
    "retention": lambda c: Estimate(1.0, 1.0, 1.0, c.n) if c.is_baseline else c.retention,
    "difference": lambda c: Estimate(0.0, 0.0, 0.0, c.n) if c.is_baseline else c.difference,
}
"""Estimates to rank by, highest first. The baseline's retention is 1."""

RATED = {"tokens": "tokens", "token-bytes": "token_bytes", "image-bytes": "image_bytes"}
"""Rates to rank by, lowest first."""

SORTS = (*ESTIMATED, *RATED, "exact")


@dataclass(frozen=True)
class Place:
    """An arm on a board.

    Parameters
    ----------
    rank : int
        Arms that share a rank are tied with the first of them: one's interval contains the other's estimate.
    tied : bool
        Whether it shares its rank.
    runs : tuple of str
        The runs that contain it; its numbers are those of the first, in which the fewest answers failed.
    """

    rank: int
    tied: bool
    runs: tuple[str, ...]
    comparison: Comparison


@dataclass(frozen=True)
class Board:
    """The arms of runs of one context and size at a needle count, best first, on the `n` samples they share.

    Failed samples count as answers with score 0: an arm that answers only what is easy must not rank above others.
    """

    title: str
    run: RunFacts
    needles: int
    n: int
    places: tuple[Place, ...]


def boards(folder: Path, sort: str = "score", least: int = LEAST) -> tuple[list[Board], list[str]]:
    """Rank all arms of the runs in a folder, at any depth; also returns notes on what was left out.

    Parameters
    ----------
    least : int
        Fewest samples that runs must share, and that an arm must have answered of them to be ranked.

    Raises
    ------
    UserError
        If there is no such folder, no finished run in it, or no such order.
    """
    if sort not in SORTS:
        raise unknown("order", sort, SORTS)
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: give the folder that contains the run directories")
    found: list[Results] = []
    notes: list[str] = []
    for path in sorted(file.parent for file in folder.rglob(RUN)):
        try:
            found.append(read_results(path))
            notes += [note] if (note := found[-1].note) else []
        except FreqqError as error:
            notes.append(f"left out: {error}")
    if not found:
        raise UserError(f"{folder} holds no run with results: {notes[0] if notes else 'make one with freqq eval'}")
    names = labels([r.path for r in found])
    contexts, _ = find_contexts(found, names)
    groups: dict[tuple[int, int, int], list[Arm]] = {}
    for run, name, context in zip(found, names, contexts, strict=True):
        for arm in arms(run, name, context):
            if arm.needles is not None:
                size = int(sum(run.arms[0].samples.needles == arm.needles)) or len(arm.samples)
                groups.setdefault((context, arm.needles, size), []).append(arm)
    ranked = []
    for (context, count, _), inside in sorted(groups.items(), key=lambda item: (item[0][:2], -item[0][2])):
        first = names.index(inside[0].run)
        shared = {*reduce(np.intersect1d, [arm.samples.ids.astype(str) for arm in inside]).tolist()}
        where = f"{', '.join(dict.fromkeys(arm.run for arm in inside))} at {needles(count)}"
        if len(shared) < least:
            notes.append(f"left out: {where}: they have {counted(len(shared), 'sample')} in common, under {least}")
            continue
        taken = [_only(arm, shared) for arm in inside]
        for arm in taken:
            if (answers := int((~arm.samples.failed).sum())) < least:
                few = f"{answers} of {counted(len(shared), 'sample')}"
                notes.append(f"left out: {arm.name} of {arm.run} at {needles(count)}: it answered {few}, under {least}")
        if not (taken := [arm for arm in taken if (~arm.samples.failed).sum() >= least]):
            continue
        about = facts(found[first], names[first], context)
        data = f"{Path(about.data).name} ({about.data_revision})"
        title = f"{about.task} on {data}, {needles(count)}, {counted(len(shared), 'sample')}: {Path(about.model).name}"
        ranked.append(Board(title, about, count, len(shared), rank(_compared(taken), sort)))
    titles = distinct_titles([board.title for board in ranked], [board.run for board in ranked])
    return [replace(board, title=title) for board, title in zip(ranked, titles, strict=True)], notes


def _only(arm: Arm, ids: set[str]) -> Arm:
    return replace(arm, samples=arm.samples.take(np.flatnonzero([i in ids for i in arm.samples.ids])))


def _compared(arms: Sequence[Arm]) -> list[Comparison]:
    """Each arm compared with its own run's baseline, or else the first; failed samples are answers with score 0."""
    counted_as_0 = [replace(arm, samples=_failures_as_0(arm.samples)) for arm in arms]
    baselines = {arm.run: arm for arm in reversed(counted_as_0) if arm.results.is_baseline}
    usual = next((arm for arm in counted_as_0 if arm.results.is_baseline), None)
    pairs = [(arm, None if arm.results.is_baseline else baselines.get(arm.run, usual)) for arm in counted_as_0]
    failed = (int(arm.samples.failed.sum()) for arm in arms)
    found = (replace(c, n_failed=n) for c, n in zip(compare_all(pairs), failed, strict=True))
    return with_holm([*found])


def _failures_as_0(samples: Samples) -> Samples:
    zeros = {name: np.where(samples.failed, 0.0, samples.values[name]) for name in ("score", "exact")}
    return replace(samples, errors=np.full(len(samples), None, object), values={**samples.values, **zeros})


def rank(comparisons: Sequence[Comparison], sort: str) -> tuple[Place, ...]:
    """Sort comparisons, one for each arm. Arms without a value (nothing to compare with) come last."""
    same: dict[str, list[Comparison]] = {}
    for c in comparisons:
        same.setdefault(c.config_hash, []).append(c)
    fullest = (sorted(group, key=lambda c: c.n_failed) for group in same.values())
    order = sorted(fullest, key=lambda group: (_key(group[0], sort), group[0].arm, group[0].params))
    places: list[Place] = []
    leader, number = None, 0
    for i, group in enumerate(order):
        if leader is None or not _tied(leader, group[0], sort):
            leader, number = group[0], i + 1
        places.append(Place(number, False, tuple(c.run for c in group), group[0]))
    ranks = [p.rank for p in places]
    return tuple(replace(p, tied=ranks.count(p.rank) > 1) for p in places)


def _tied(leader: Comparison, other: Comparison, sort: str) -> bool:
    """Whether one's interval contains the other's estimate; without intervals, whether both are equal."""
    first, second = (ESTIMATED[sort](c) if sort in ESTIMATED else None for c in (leader, other))
    if first is None or second is None:
        return first is second and _key(leader, sort) == _key(other, sort)
    return second.mean == first.mean or second.high >= first.mean or first.low <= second.mean


def _key(comparison: Comparison, sort: str) -> float:
    if sort in RATED:
        rate = comparison.rates[RATED[sort]]
        return inf if rate is None else rate
    if sort == "exact":
        return -comparison.exact if comparison.exact == comparison.exact else inf
    found = ESTIMATED[sort](comparison)
    return inf if found is None or found.mean != found.mean else -found.mean
