"""Grade the stored responses of a run again, without a model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from freqq.data.responses import CUT_ANSWERING, CUT_THINKING
from freqq.data.sample import Sample
from freqq.errors import UserError
from freqq.files import write_whole
from freqq.names import unknown
from freqq.runs.directory import RESULTS, RUN, RunDirectory, write_json
from freqq.runs.grading import marked
from freqq.runs.lock import lock
from freqq.runs.merge import merge, planned_keys, precedence
from freqq.runs.parts import Key, answered, packed, parquet, part_files, part_path, read_metadata, read_part, writing
from freqq.runs.protocols import PROTOCOLS, Protocol, protocol_for
from freqq.runs.schema import Row, conform, from_table, to_table
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard

Arm = tuple[int, str, str]
"""Needles, method, level."""

Scores = dict[Key, tuple[tuple[bool, float], Arm, float, float]]
"""Of each key the `precedence` of the row that counts, its arm, and its scores before and after."""


@dataclass(frozen=True)
class Change:
    """What grading again did to an arm: of how many responses the score changed, and the means of all before and after.

    A sample that failed has no response, and counts with its 0. One that was answered again counts once.
    """

    needles: int
    method: str
    level: str
    n: int
    changed: int
    before: float
    after: float


@dataclass(frozen=True)
class Regraded:
    """The protocol by which it was graded, what changed, and whether the run is whole, and so its results are new."""

    protocol: str
    changes: tuple[Change, ...]
    whole: bool


def regrade(
    path: Path, protocol: str | None = None, progress: Callable[[int, int], object] = lambda done, total: None
) -> Regraded:
    """Grade all responses of a run by a protocol, its own unless another is named, and merge its results again.

    The data are read for the right answers. Each file is replaced whole: what is stopped midway is finished by the
    same command. Results whose parts are gone are graded where they are.

    Parameters
    ----------
    progress : callable
        Told how many files are done, of how many.

    Raises
    ------
    UserError
        If it is no run directory or another process writes to it, the protocol is unknown, or its data are not here or
        no longer what they were.
    FreqqError
        If a file is damaged or the disk is full.
    """
    directory = RunDirectory(path)
    plan = directory.plan()
    settings = _settings(plan, path)
    if protocol is not None and protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    rules = protocol_for(protocol or settings.protocol, settings.source.task)
    known = _samples(settings, plan)
    found: Scores = {}
    with lock(path, Shard()):
        regraded = None if rules.name == settings.protocol else rules.name
        _note(path, plan, regraded)
        files = part_files(path)
        for done, file in enumerate(files, 1):
            _regrade_part(path, file, known, rules, found)
            progress(done, len(files))
        whole = answered(path) >= set(planned_keys(plan))
        if whole:
            merge(path)
        elif not files and (path / RESULTS).is_file():
            _regrade_results(path / RESULTS, known, rules, found, regraded)
            whole = True
    planned = [(arm["method"], arm.get("level")) for arm in plan["arms"]]
    scores: dict[Arm, list[tuple[float, float]]] = {}
    for _, arm, before, after in found.values():
        scores.setdefault(arm, []).append((before, after))
    order = sorted(scores, key=lambda arm: (arm[0], planned.index(arm[1:]) if arm[1:] in planned else len(planned)))
    return Regraded(rules.name, tuple(_change(arm, scores[arm]) for arm in order), whole)


def _settings(plan: Mapping[str, Any], path: Path) -> Settings:
    try:
        return Settings.from_json(plan["settings"])
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path / RUN} has settings that are not known here ({error}): use its own freqq") from error


def _samples(settings: Settings, plan: Mapping[str, Any]) -> dict[str, Sample]:
    if settings.source.revision != plan.get("data_revision"):
        raise UserError(f"the data {settings.data} have changed since the run: its right answers are gone")
    source, wanted = settings.source, set(plan["samples"])
    limit = settings.limit if source.generated else None  # how an older run drew its samples is not asked
    known = {
        sample.id: sample
        for needles in settings.needles
        for sample in source.samples(needles, limit, settings.seed, settings.bin_names)
        if sample.id in wanted
    }
    if lacking := [id for id in plan["samples"] if id not in known]:
        raise UserError(f"the data {settings.data} no longer have {len(lacking)} of the samples, such as {lacking[0]}")
    return known


def _note(path: Path, plan: Mapping[str, Any], protocol: str | None) -> None:
    """Note in ``run.json`` by which protocol it is graded, if not by its own."""
    if plan.get("regraded") != protocol:
        kept = {name: value for name, value in plan.items() if name != "regraded"}
        write_json(path / RUN, kept | ({} if protocol is None else {"regraded": protocol}))


def _regrade_part(run: Path, file: Path, known: Mapping[str, Sample], rules: Protocol, found: Scores) -> None:
    part = read_part(file)
    before = from_table(conform(part, file))
    after = [_regraded(row, known, rules, found) for row in before]
    if after != before:
        content = parquet(to_table(after), read_metadata(part))
        new = part_path(run, file.stem.rpartition("-")[0], content)
        with writing(new):
            write_whole(new, lambda temporary: temporary.write_bytes(content))
            if new != file:
                file.unlink()


def _regrade_results(
    file: Path, known: Mapping[str, Sample], rules: Protocol, found: Scores, regraded: str | None
) -> None:
    table = pq.read_table(file)
    rows = [_regraded(row, known, rules, found) for row in from_table(conform(table, file))]
    metadata = packed(table.schema, read_metadata(table) | {"regraded": regraded})
    new: pa.Table = to_table(rows).replace_schema_metadata(metadata)
    with writing(file):
        write_whole(file, lambda temporary: pq.write_table(new, temporary, compression="zstd"))


def _regraded(row: Row, known: Mapping[str, Sample], rules: Protocol, found: Scores) -> Row:
    new = row
    if row.response is not None and row.error is None:
        if row.sample_id not in known:
            raise UserError(f"the data no longer have the sample {row.sample_id}")
        limited = None if row.outcome is None else row.outcome in (CUT_ANSWERING, CUT_THINKING)
        new = marked(replace(row, cer=None, wer=None), known[row.sample_id], row.response, rules, limited)
    if row.key not in found or precedence(row) >= found[row.key][0]:
        found[row.key] = precedence(row), (row.needles, row.method, row.level), row.score, new.score
    return new


def _change(arm: Arm, scores: list[tuple[float, float]]) -> Change:
    before, after = zip(*scores, strict=True)
    return Change(*arm, len(scores), sum(a != b for a, b in scores), fmean(before), fmean(after))
