"""Which samples to show: the largest losses, the largest gains, a tie."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from freqq.runs.directory import RESULTS

KINDS = {"loss": 3, "gain": 2, "tie": 1}
"""How many of each are shown."""

COLUMNS = ("sample_id", "method", "level", "score", "error")


@dataclass(frozen=True)
class Chosen:
    """One answer that is worth a look, and by how much its score differs from that without compression."""

    kind: str
    run: Path
    sample: str
    method: str
    level: str
    difference: float


def choose(runs: Sequence[Path]) -> list[Chosen]:
    """A handful of answers, each of another method and another sample as long as there are such.

    Failures are left out. Equal runs give an equal choice: what is otherwise alike goes by the order of the runs, of
    their methods and levels, and of the sample's names. Of ties the one with the best score is taken.
    """
    candidates = [one for run in runs for one in _candidates(run)]
    found: list[Chosen] = []
    for kind, count in KINDS.items():
        own = sorted((c for c in candidates if c.kind == kind), key=lambda c: -abs(c.difference))
        for _ in range(count):
            left = [c for c in own if c not in found]
            if not left:
                break
            methods, samples = {c.method for c in found if c.kind == kind}, {c.sample for c in found}
            found.append(min(left, key=lambda c: (c.method in methods) + (c.sample in samples)))
    return found


def _candidates(run: Path) -> Iterator[Chosen]:
    """Of each arm the largest loss, the largest gain and the best tie."""
    table = pq.read_table(run / RESULTS, columns=list(COLUMNS))
    table = table.filter(pc.is_null(table["error"]))
    plain = pc.equal(table["method"], "none")
    baseline, others = table.filter(plain), table.filter(pc.invert(plain))
    at = pc.index_in(others["sample_id"], baseline["sample_id"].combine_chunks())
    others = others.append_column("plain", baseline["score"].take(at)).filter(pc.is_valid(at))
    for (method, level), rows in _arms(others):
        rows = rows.sort_by("sample_id")
        score, before = (rows[name].to_numpy() for name in ("score", "plain"))
        change = score - before
        places = {"loss": int(change.argmin()), "gain": int(change.argmax())}
        if len(ties := np.flatnonzero(change == 0)):
            places["tie"] = int(ties[score[ties].argmax()])
        for kind, place in places.items():
            if kind == "tie" or (change[place] < 0) == (kind == "loss") and change[place] != 0:
                yield Chosen(kind, run, rows["sample_id"][place].as_py(), method, level, float(change[place]))


def _arms(table: pa.Table) -> Iterator[tuple[tuple[Any, Any], pa.Table]]:
    """The rows of each method and level, in the order of the table."""
    groups = table.group_by(["method", "level"], use_threads=False).aggregate([])
    for method, level in zip(groups["method"].to_pylist(), groups["level"].to_pylist(), strict=True):
        own = pc.and_(pc.equal(table["method"], method), pc.equal(table["level"], level))
        yield (method, level), table.filter(own)
