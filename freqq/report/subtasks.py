"""The scores of a suite's parts: of RULER's sub-tasks, of LongBench's data sets."""

import statistics
from collections.abc import Sequence
from typing import Any

from freqq.report.statistics import mean_estimate
from freqq.runs.schema import Row


def subtask_scores(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Of one arm's rows, for each sub-task in the order of its first row: ``n``, ``n_failed``, ``score``, ``exact``.

    ``score`` is a mean with its 95 % interval. Empty for rows of a task without parts.
    """
    parts: dict[str, list[Row]] = {}
    for row in rows:
        if row.subtask is not None:
            parts.setdefault(row.subtask, []).append(row)
    return {
        name: {
            "n": len(own),
            "n_failed": sum(row.error is not None for row in own),
            "score": mean_estimate([row.score for row in own]).as_json(),
            "exact": statistics.fmean(row.exact for row in own),
        }
        for name, own in parts.items()
    }


def suite_score(scores: dict[str, dict[str, Any]]) -> float | None:
    """The suite's score, as RULER and LongBench report it: the mean over the parts, each counting the same."""
    means = [own["score"]["mean"] for own in scores.values()]
    return statistics.fmean(means) if means else None
