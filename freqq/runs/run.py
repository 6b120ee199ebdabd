"""A run from settings to results: resumable, interruptible, and the same however it is sharded or batched."""

import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from freqq import __version__
from freqq.data.sample import Sample
from freqq.errors import FreqqError, Interrupted, UserError
from freqq.glm.load import load_reader
from freqq.glm.reader import Reader
from freqq.runs.directory import RESULTS, RunDirectory, read_metadata, write_table
from freqq.runs.evaluate import BatchEvaluator
from freqq.runs.plan import Arm, Identity, Shard, arms, config_hash, samples, share
from freqq.runs.schema import Row, to_table
from freqq.runs.settings import Settings
from freqq.runs.sources import usual_batch_size
from freqq.runs.stop import StopRequest

Progress = Callable[[int, int], None]
"""Called with the rows that are there and the rows that there will be."""


def run(
    settings: Settings,
    out: Path | None = None,
    *,
    batch_size: int | None = None,
    shard: Shard | None = None,
    retry_failed: bool = False,
    progress: Progress = lambda done, total: None,
    notify_stop: Callable[[], None] = lambda: None,
) -> Path:
    """Evaluate, or go on evaluating, and return the run directory.

    Parameters
    ----------
    out : Path, optional
        The run directory; `Settings.directory` if it is not given.
    shard : Shard, optional
        Do this part only, and leave ``results.parquet`` to `merge`.
    retry_failed : bool
        Whether samples that failed before are tried again.
    notify_stop : callable
        Called when a signal asks the run to stop.

    Raises
    ------
    UserError
        Before the model is loaded, if a name is unknown or `out` cannot be used.
    Interrupted
        If a signal came. What was answered is stored.
    FreqqError
        If every single answer failed.
    """
    todo = arms(settings)
    if batch_size is not None and batch_size < 1:
        raise UserError(f"--batch-size {batch_size}: at least one sample is needed")
    directory = RunDirectory(out or settings.directory())
    directory.check(settings)
    with StopRequest(notify_stop) as stop:
        everything = samples(settings)
        reader = load_reader(settings.model, settings.revision, dtype=settings.dtype)
        if settings.store is not None:
            settings.store.check_model(reader.model_name, reader.revision)
        directory.record(describe(settings, reader, todo, everything))
        evaluator = BatchEvaluator(reader, settings, shard or Shard())
        with directory.lock(evaluator.shard):
            done = {row.key for row in directory.rows() if row.error is None or not retry_failed}
            size = batch_size or usual_batch_size(settings.source)
            _evaluate(evaluator, directory, share(everything, evaluator.shard), done, size, progress, stop)
    if shard is None:
        merge(directory.path)
    return directory.path


def _evaluate(
    evaluator: BatchEvaluator,
    directory: RunDirectory,
    own: list[Sample],
    done: set[tuple[str, str]],
    batch_size: int,
    progress: Progress,
    stop: StopRequest,
) -> None:
    """Answer what of a shard's samples is not done yet, a part a batch, until it is done or a stop is requested."""
    settings = evaluator.settings
    missing = [
        (arm, {s.id for s in own if (s.id, config_hash(settings, evaluator.identity, arm)) not in done})
        for arm in arms(settings)
    ]
    total = len(own) * len(missing)
    finished = total - sum(len(ids) for _, ids in missing)
    progress(finished, total)
    waiting = [s for s in own if any(s.id in ids for _, ids in missing)]
    metadata = {"config": directory.description(), **environment(evaluator.reader)}
    for start in range(0, len(waiting), batch_size):
        if stop.requested:
            break
        rows: list[Row] = []
        for made in evaluator.rows(waiting[start : start + batch_size], missing):
            rows += made
            finished += len(made)
            progress(finished, total)
            if stop.requested:
                break
        directory.add(rows, evaluator.shard, metadata)
    if finished < total:
        stored = f"{finished} of {total} answers are stored in {directory.path}"
        raise Interrupted(f"stopped; {stored}: run the same command again to go on")


def describe(settings: Settings, reader: Reader, todo: list[Arm], everything: list[Sample]) -> dict[str, Any]:
    """What ``run.json`` holds: enough to merge without the model or the data."""
    identity = Identity(reader.revision, reader.dtype)
    return {
        "settings": settings.as_json(),
        "model_revision": identity.model_revision,
        "dtype": identity.dtype,
        "data_revision": settings.source.revision,
        "arms": [
            {"method": a.name, "level": a.level, "params": a.params, "config_hash": config_hash(settings, identity, a)}
            for a in todo
        ],
        "samples": [s.id for s in everything],
    }


def environment(reader: Reader) -> dict[str, Any]:
    """Versions and hardware, for a part's metadata."""
    names = ("torch", "transformers", "numpy", "pyarrow")
    gpu = torch.cuda.get_device_name(reader.device) if reader.device.startswith("cuda") else None
    return {
        "versions": {"freqq": __version__, "python": platform.python_version(), **{n: version(n) for n in names}},
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "threads": torch.get_num_threads(),
            "device": reader.device,
            "gpu": gpu,
        },
    }


def merge(path: Path) -> list[Row]:
    """Put the parts of a run together in ``results.parquet``, in an order that no sharding or batching changes.

    Raises
    ------
    UserError
        If `path` is no run directory.
    FreqqError
        If a planned answer is missing, one is there twice, or one was never planned; or if every one failed.
    """
    directory = RunDirectory(path)
    plan = directory.description()
    if plan is None:
        raise UserError(f"{path} is not a run directory: it has no run.json")
    rows = {row.key: row for row in directory.rows()}
    keys = [(s, a["config_hash"]) for s in plan["samples"] for a in plan["arms"]]
    missing = [key for key in keys if key not in rows]
    if missing:
        raise FreqqError(f"{len(missing)} of {len(keys)} answers are missing in {path}: run the same freqq eval again")
    if extra := set(rows) - set(keys):
        raise FreqqError(
            f"{len(extra)} answers in {path}/parts were never planned, the first of {min(extra)[0]}: delete their parts"
        )
    ordered = [rows[key] for key in keys]
    made_with = [read_metadata(t) for t in directory.part_tables()]
    metadata = {"config": plan} | {n: _distinct([m.get(n) for m in made_with]) for n in ("versions", "hardware")}
    write_table(path / RESULTS, to_table(ordered), metadata)
    failures = [row for row in ordered if row.error is not None]
    if len(failures) == len(ordered):
        raise FreqqError(f"all {len(ordered)} answers failed, the first with {failures[0].error}")
    return ordered


def _distinct(values: list[Any]) -> list[Any]:
    return [v for i, v in enumerate(values) if v not in values[:i]]
