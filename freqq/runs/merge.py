"""Put a run's parts together in the plan's order, in a memory that does not grow with their number.

Parts come in any order, so rows go by way of files, one for each stretch of the plan: the first pass deals every part's
rows to the stretches that they belong to, the second sorts one stretch after another and appends it to the results.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from freqq.errors import FreqqError
from freqq.files import write_whole
from freqq.runs.directory import RESULTS, RunDirectory, eval_command
from freqq.runs.parts import Key, packed, part_files, read_metadata, read_part, writing
from freqq.runs.schema import SCHEMA, Row, conform

STRETCH = 16_384
"""Rows of a stretch of the plan, which are sorted in memory and become one row group."""

GATHERED = 8_192
"""Rows of parts that are distributed together: parts may be as small as one row."""

POSITION = "position"

DUPLICATES = "duplicates.parquet"

MEASURED = set("started_at shard device decode_ms_per_token peak_memory_bytes vision_pass_pages prefill_chunk".split())
ANSWERED = [name for name in SCHEMA.names if name not in MEASURED and not name.endswith("_ms")]
"""What is equal in two rows of a key if the answer is the same: all but when, where and how fast it was made."""


def planned_keys(plan: dict[str, Any]) -> list[Key]:
    """A plan's keys in the order of the results: samples as they were drawn, arms as they were asked for."""
    return [(sample, arm["config_hash"]) for sample in plan["samples"] for arm in plan["arms"]]


@dataclass
class _Found:
    """What the passes noted: the errors of failed rows in order, and answers that differ from another of their key."""

    there: NDArray[np.bool_]
    versions: list[Any] = field(default_factory=list)
    hardware: list[Any] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    differing: list[pa.Table] = field(default_factory=list)

    def note(self, metadata: dict[str, Any]) -> None:
        for name, known in (("versions", self.versions), ("hardware", self.hardware)):
            if metadata.get(name) not in known:
                known.append(metadata.get(name))
                known.sort(key=lambda value: json.dumps(value, sort_keys=True))


def merge(path: Path, note: Callable[[str], object] = lambda text: None) -> None:
    """Write ``results.parquet``, in an order that no sharding or batching changes.

    Of a key's rows the answer stands in for the failures before it; of failures the last counts, of answers the first.
    Answers of a key that differ in more than times and memory are all written to ``duplicates.parquet``, too.

    Parameters
    ----------
    note : callable
        Told of answers that differ.

    Raises
    ------
    UserError
        If `path` is no run directory.
    FreqqError
        If a part is damaged; if a planned answer is missing, or one was never planned; if every one failed (the
        results are then written).
    """
    plan = RunDirectory(path).plan()
    keys = planned_keys(plan)
    found = _Found(np.zeros(len(keys), bool))
    with writing(path / RESULTS), tempfile.TemporaryDirectory(dir=path, prefix=".merge-") as folder:
        stretches = [Path(folder) / str(i) for i in range(-(-len(keys) // STRETCH))]
        _deal(path, keys, stretches, found)
        if missing := int((~found.there).sum()):
            again = eval_command(plan.get("settings", {}), path)
            raise FreqqError(f"{missing} of {len(keys)} answers are missing in {path}: continue with {again}")
        metadata = {
            "config": plan, "versions": found.versions, "hardware": found.hardware, "regraded": plan.get("regraded")
        }  # fmt: skip
        write_whole(path / RESULTS, lambda file: _write(file, stretches, metadata, found))
        _keep_aside(path / DUPLICATES, found.differing, note)
    if len(found.failures) == len(keys):
        raise FreqqError(f"all {len(keys)} answers failed, the first with {found.failures[0]}")


def _keep_aside(file: Path, differing: list[pa.Table], note: Callable[[str], object]) -> None:
    """Write the answers that differ from another of their key, and name them."""
    if not differing:
        file.unlink(missing_ok=True)
        return
    rows = pa.concat_tables(differing)
    write_whole(file, lambda temporary: pq.write_table(rows, temporary, compression="zstd"))
    names = list(dict.fromkeys(rows["sample_id"].to_pylist()))
    count = f"{len(names)} samples have answers by one method that differ, such as {names[0]}"
    note(f"{count}: the first counts, all are in {file}")


def _deal(path: Path, keys: list[Key], stretches: list[Path], found: _Found) -> None:
    """Deal the rows of all parts to the stretches, each with its place in the plan."""
    places = {key: place for place, key in enumerate(keys)}
    schema = SCHEMA.append(pa.field(POSITION, pa.int64()))
    with ExitStack() as stack:
        writers = [stack.enter_context(pa.ipc.new_stream(file, schema)) for file in stretches]
        for rows in _gathered(path, found):
            ids, hashes = rows["sample_id"].to_pylist(), rows["config_hash"].to_pylist()
            at = np.array([places.get(key, -1) for key in zip(ids, hashes, strict=True)])
            if unplanned := [ids[i] for i in np.flatnonzero(at < 0)]:
                raise FreqqError(
                    f"{len(unplanned)} answers in {path}/parts were never planned, the first of {min(unplanned)}: "
                    "delete their parts"
                )
            found.there[at] = True
            placed = rows.append_column(schema.field(POSITION), pa.array(at))
            for stretch in np.unique(at // STRETCH):
                writers[stretch].write_table(placed.take(np.flatnonzero(at // STRETCH == stretch)))


def _gathered(path: Path, found: _Found) -> Iterator[pa.Table]:
    """The rows of all parts, those of some parts at a time."""
    held: list[pa.Table] = []
    for file in part_files(path):
        part = read_part(file)
        found.note(read_metadata(part))
        held.append(conform(part, file))
        if sum(map(len, held)) >= GATHERED:
            # Rows are picked far faster from one piece than from hundreds.
            yield pa.concat_tables(held).combine_chunks()
            held = []
    if held:
        yield pa.concat_tables(held).combine_chunks()


def _write(file: Path, stretches: list[Path], metadata: dict[str, Any], found: _Found) -> None:
    """Write the results, and note what a user should know of them."""
    schema = SCHEMA.with_metadata(packed(SCHEMA, metadata))
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for stretch in stretches:
            with pa.ipc.open_stream(stretch) as stream:
                rows = _chosen(stream.read_all(), found.differing).replace_schema_metadata(schema.metadata)
            found.failures += rows["error"].drop_null().to_pylist()
            writer.write_table(rows, row_group_size=STRETCH)


def precedence(row: Row) -> tuple[bool, float]:
    """Of a key's rows the one with the highest counts: the first answer, else the last failure, as in `_chosen`."""
    at = row.started_at.timestamp()
    return row.error is None, -at if row.error is None else at


def _chosen(rows: pa.Table, differing: list[pa.Table]) -> pa.Table:
    """One row a place, in order: the first answer, else the last failure. Adds answers that differ to `differing`."""
    at = rows[POSITION].to_numpy()
    good = rows["error"].is_null().to_numpy()
    started = rows["started_at"].cast(pa.int64()).to_numpy()
    order = np.lexsort((np.where(good, -started, started), good, at))
    at, good = at[order], good[order]
    again = np.flatnonzero((at[1:] == at[:-1]) & good[1:] & good[:-1])
    for place in np.unique(at[again]):
        answers = rows.take(order[(at == place) & good][::-1]).select(SCHEMA.names)
        if len({str(answer) for answer in answers.select(ANSWERED).to_pylist()}) > 1:
            differing.append(answers)
    last = np.append(at[1:] != at[:-1], True)
    return rows.take(order[last]).select(SCHEMA.names)
