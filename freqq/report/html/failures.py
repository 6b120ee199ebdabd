"""What failed in some runs, and what was cut off."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from freqq.report.outcomes import in_words, unanswered
from freqq.runs.directory import RESULTS

COLUMNS = ("sample_id", "needles", "method", "level", "error", "truncated", "outcome")


@dataclass(frozen=True)
class Failure:
    """Equal errors of one method and level of a run; the sample is the first that had it."""

    run: str
    method: str
    level: str
    error: str
    count: int
    sample: str


@dataclass(frozen=True)
class Cut:
    """Responses of a method and level of a run that ended without a whole answer, in words."""

    run: str
    method: str
    level: str
    words: str


def failures(runs: Sequence[tuple[str, Path]]) -> tuple[list[Failure], list[Cut]]:
    """All failures of runs with their names, the commonest first, and responses that ended without a whole answer."""
    found: list[Failure] = []
    cuts: list[Cut] = []
    for name, run in runs:
        file = run / RESULTS
        there = set(pq.read_schema(file).names)
        table = pq.read_table(file, columns=[name for name in COLUMNS if name in there])
        failed = table.filter(pc.is_valid(table["error"])).to_pylist()
        counts = Counter((r["method"], r["level"], r["error"]) for r in failed)
        first: dict[tuple[str, str, str], str] = {}
        for r in failed:
            first.setdefault((r["method"], r["level"], r["error"]), r["sample_id"])
        found += [Failure(name, *key, count, first[key]) for key, count in counts.items()]
        arms: dict[tuple[str, str], list[tuple[str | None, bool | None]]] = {}
        for r in table.to_pylist():
            arms.setdefault((r["method"], r["level"]), []).append((r.get("outcome"), r.get("truncated")))
        ended = ((key, in_words(unanswered(pairs), len(pairs))) for key, pairs in arms.items())
        cuts += [Cut(name, *key, words) for key, words in ended if words]
    return sorted(found, key=lambda f: -f.count), cuts
