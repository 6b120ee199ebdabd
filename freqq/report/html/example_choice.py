"""Choose samples to show: the largest losses, the largest gains, a tie."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from freqq.levels import LEVELS
from freqq.runs.directory import RESULTS
from freqq.runs.schema import BASELINE, FORMERLY

KINDS = {"loss": 3, "gain": 2, "tie": 1}
"""The number of each to show."""

BASELINES = pa.array([BASELINE, FORMERLY])
"""Names of the baseline in rows of this and of older versions."""

COLUMNS = ("sample_id", "method", "level", "score", "error")


@dataclass(frozen=True)
class Chosen:
    """An answer to show, and the difference of its score to the baseline's.

    Parameters
    ----------
    baseline : Path
        The run whose baseline it is compared with, usually `run` itself.
    """

    kind: str
    run: Path
    baseline: Path
    sample: str
    method: str
    level: str
    difference: float


def choose(pairs: Sequence[tuple[Path, Path]]) -> list[Chosen]:
    """Choose a few answers, of different methods and samples if possible. Failures are left out.

    Deterministic: ties in rank are resolved by the order of runs, methods, levels and sample names. A tie is shown from
    the strongest level that has one, with the best score.

    Parameters
    ----------
    pairs : sequence of (run, run with its baseline)
    """
    candidates = [one for run, base in pairs for one in _candidates(run, base)]
    found: list[Chosen] = []
    for kind, count in KINDS.items():
        own = sorted((c for c in candidates if c.kind == kind), key=lambda c: (-abs(c.difference), -_strength(c.level)))
        for _ in range(count):
            left = [c for c in own if c not in found]
            if not left:
                break
            methods, samples = {c.method for c in found if c.kind == kind}, {c.sample for c in found}
            found.append(min(left, key=lambda c: (c.method in methods) + (c.sample in samples)))
    return found


def _strength(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else 0


def _read(run: Path) -> pa.Table:
    table = pq.read_table(run / RESULTS, columns=list(COLUMNS))
    return table.filter(pc.is_null(table["error"]))


def _candidates(run: Path, base: Path) -> Iterator[Chosen]:
    """The largest loss, the largest gain and the best tie of each arm."""
    table = _read(run)
    reference = table if base == run else _read(base)
    baseline = reference.filter(pc.is_in(reference["method"], BASELINES))
    others = table.filter(pc.invert(pc.is_in(table["method"], BASELINES)))
    at = pc.index_in(others["sample_id"], baseline["sample_id"].combine_chunks())
    others = others.append_column("before", baseline["score"].take(at)).filter(pc.is_valid(at))
    for (method, level), rows in _arms(others):
        rows = rows.sort_by("sample_id")
        score, before = (rows[name].to_numpy() for name in ("score", "before"))
        change = score - before
        places = {"loss": int(change.argmin()), "gain": int(change.argmax())}
        if len(ties := np.flatnonzero(change == 0)):
            places["tie"] = int(ties[score[ties].argmax()])
        for kind, place in places.items():
            if kind == "tie" or (change[place] < 0 if kind == "loss" else change[place] > 0):
                yield Chosen(kind, run, base, rows["sample_id"][place].as_py(), method, level, float(change[place]))


def _arms(table: pa.Table) -> Iterator[tuple[tuple[Any, Any], pa.Table]]:
    """The rows of each method and level, in the order of the table."""
    groups = table.group_by(["method", "level"], use_threads=False).aggregate([])
    for method, level in zip(groups["method"].to_pylist(), groups["level"].to_pylist(), strict=True):
        own = pc.and_(pc.equal(table["method"], method), pc.equal(table["level"], level))
        yield (method, level), table.filter(own)
