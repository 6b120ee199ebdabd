"""Arms of many runs in order: one board for each context and needle count, since only there scores can be compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

from freqq.errors import FreqqError, UserError
from freqq.names import unknown
from freqq.report.comparison import Comparison
from freqq.report.context import RunFacts
from freqq.report.evidence import weigh
from freqq.report.results import read_results
from freqq.report.statistics import Estimate
from freqq.runs.directory import RESULTS, RUN

ESTIMATED: dict[str, Callable[[Comparison], Estimate | None]] = {
    "score": lambda c: c.score,
    "macro": lambda c: c.macro,
    "retention": lambda c: Estimate(1.0, 1.0, 1.0, c.n) if c.is_plain else c.retention,
    "difference": lambda c: Estimate(0.0, 0.0, 0.0, c.n) if c.is_plain else c.difference,
}
"""What arms can be ranked by, highest first. The plain arm keeps all of its own score."""

RATED = {"tokens": "tokens", "token-bytes": "token_bytes", "image-bytes": "image_bytes"}
"""And by a rate, lowest first."""

SORTS = (*ESTIMATED, *RATED, "exact")


@dataclass(frozen=True)
class Place:
    """An arm on a board.

    Parameters
    ----------
    rank : int
        Its place. Arms that share one are tied with the first of them: its interval holds them, or theirs holds it.
    tied : bool
        Whether it shares its rank.
    runs : tuple of str
        Where it was found, more than one if runs repeat the same answers.
    """

    rank: int
    tied: bool
    runs: tuple[str, ...]
    comparison: Comparison


@dataclass(frozen=True)
class Board:
    """The arms of one context and needle count, best first."""

    run: RunFacts
    needles: int | None
    places: tuple[Place, ...]


def boards(folder: Path, sort: str = "score") -> tuple[list[Board], list[str]]:
    """Rank all arms of the runs in a folder, at any depth; and say what was left out.

    Raises
    ------
    UserError
        If there is no such folder, no merged run in it, or no such order.
    """
    if sort not in SORTS:
        raise unknown("order", sort, SORTS)
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: name the one that the run directories are in")
    found, notes = [], []
    for path in sorted(file.parent for file in folder.rglob(RUN)):
        if not (path / RESULTS).is_file():
            notes.append(f"{path} is left out: it has no results yet (freqq runs merge {path})")
            continue
        try:
            found.append(read_results(path))
        except FreqqError as error:
            notes.append(f"{path} is left out: {error}")
    if not found:
        raise UserError(f"{folder} holds no run with results: {notes[0] if notes else 'make one with freqq eval'}")
    evidence = weigh(found)
    ranked = []
    for context in dict.fromkeys(run.context for run in evidence.runs):
        first = next(run for run in evidence.runs if run.context == context)
        inside = [c for c in evidence.comparisons if c.context == context and c.needles is not None]
        for needles in sorted({c.needles for c in inside if c.needles is not None}):
            ranked.append(Board(first, needles, rank([c for c in inside if c.needles == needles], sort)))
    return ranked, notes


def rank(comparisons: Sequence[Comparison], sort: str) -> tuple[Place, ...]:
    """Put comparisons in order. What cannot be ranked (nothing to compare it with) comes last."""
    same: dict[tuple[object, ...], list[Comparison]] = {}
    for c in comparisons:
        same.setdefault((c.config_hash, c.n, round(c.score.mean, 12), c.difference is None), []).append(c)
    order = sorted(same.values(), key=lambda group: (_key(group[0], sort), group[0].arm, group[0].params))
    places: list[Place] = []
    leader, number = None, 0
    for i, group in enumerate(order):
        if leader is None or not _tied(leader, group[0], sort):
            leader, number = group[0], i + 1
        places.append(Place(number, False, tuple(c.run for c in group), group[0]))
    ranks = [p.rank for p in places]
    return tuple(Place(p.rank, ranks.count(p.rank) > 1, p.runs, p.comparison) for p in places)


def _tied(leader: Comparison, other: Comparison, sort: str) -> bool:
    """Whether the interval of one of them holds the other; without intervals, whether both are equal."""
    first, second = (ESTIMATED[sort](c) if sort in ESTIMATED else None for c in (leader, other))
    if first is None or second is None:
        return first is second and _key(leader, sort) == _key(other, sort)
    return second.mean == first.mean or second.high >= first.mean or first.low <= second.mean


def _key(comparison: Comparison, sort: str) -> float:
    if sort in RATED:
        rate = comparison.rates[RATED[sort]]
        return inf if rate is None else rate
    if sort == "exact":
        return -comparison.exact
    found = ESTIMATED[sort](comparison)
    return inf if found is None else -found.mean
