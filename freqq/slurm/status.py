"""Progress of a submitted run: the state of each shard in Slurm, its rows, and its last error."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from freqq.errors import FreqqError, UserError
from freqq.runs.directory import SCRIPTS, RunDirectory
from freqq.slurm import logs
from freqq.slurm.queue import State, states
from freqq.slurm.submit import SUBMISSION, Submission


@dataclass(frozen=True)
class Rows:
    """Number of rows (one per key), number of failed ones, and one of their errors."""

    stored: int = 0
    failed: int = 0
    error: str | None = None

    def __add__(self, other: "Rows") -> "Rows":
        return Rows(self.stored + other.stored, self.failed + other.failed, other.error or self.error)


@dataclass(frozen=True)
class Task:
    """A shard or the merge as a job: Slurm's id, its state, and the last error if it failed."""

    job: str
    state: State
    error: str | None

    @property
    def failed(self) -> bool:
        """Whether it ended with an error."""
        return not self.state.live and self.state.name not in ("COMPLETED", "UNKNOWN")

    def as_json(self) -> dict[str, Any]:
        """All fields, flattened."""
        state = asdict(self.state)
        return {"job": self.job, "state": state.pop("name"), **state, "error": self.error}


@dataclass(frozen=True)
class Status:
    """A submitted run.

    Parameters
    ----------
    shards, merge : Task
        The jobs.
    rows : list of Rows
        Rows of each shard, from this and earlier submissions with the same number of shards.
    planned : list of int or None
        Planned rows of each shard; None before the first has begun.
    total : Rows
        Rows of all shards.
    merged : bool
        Whether ``results.parquet`` exists with all planned rows.
    problem : str
        Why Slurm could not be queried; empty if it could.
    """

    run: Path
    submission: Submission
    shards: list[Task]
    merge: Task
    rows: list[Rows]
    planned: list[int] | None
    total: Rows
    merged: bool
    problem: str

    @property
    def stuck(self) -> bool:
        """Whether it must be submitted again."""
        return self.merge.failed or any(shard.failed for shard in self.shards)

    def as_json(self) -> dict[str, Any]:
        """All fields, for JSON."""
        planned: Sequence[int | None] = self.planned or [None] * len(self.shards)
        shards = [
            {
                "shard": f"{i}/{len(self.shards)}", **task.as_json(), "rows": rows.stored, "rows_planned": of,
                "rows_failed": rows.failed, "row_error": rows.error,
            }
            for i, (task, rows, of) in enumerate(zip(self.shards, self.rows, planned, strict=True))
        ]  # fmt: skip
        return {
            "run": str(self.run),
            **asdict(self.submission),
            "shards": shards,
            "merge": {**self.merge.as_json(), "merged": self.merged},
            "rows": self.total.stored,
            "rows_planned": None if self.planned is None else sum(self.planned),
            "rows_failed": self.total.failed,
            "stuck": self.stuck,
            "problem": self.problem,
        }


def status(run: Path) -> Status:
    """Query Slurm and read the run directory; needs neither the model nor the data.

    Raises
    ------
    UserError
        If nothing was submitted for this run.
    FreqqError
        If a file in it is damaged.
    """
    submission = Submission.read(run)
    if submission is None:
        raise UserError(f"{run} was never submitted: it has no {SCRIPTS}/{SUBMISSION}; see freqq slurm-submit --help")
    found, problem = states([*submission.elements(), submission.merge])
    rows = _rows(run)
    names = [f"{i}/{submission.shards}" for i in range(submission.shards)]
    planned = _planned(run, submission.shards)
    merge_log = logs.read(run / SCRIPTS / f"{submission.merge}_merge.log")
    return Status(
        run,
        submission,
        _shards(run / SCRIPTS, submission, found, bool(problem)),
        _task(submission.merge, found, bool(problem), merge_log, logs.last_words(merge_log)),
        [rows[name] for name in names],
        planned,
        sum(rows.values(), Rows()),
        RunDirectory(run).is_merged(sum(planned or ())),
        problem,
    )


def _shards(folder: Path, submission: Submission, found: dict[str, State], unknown: bool) -> list[Task]:
    """The shards' tasks. On a node they are one job, and only their own logs show which one failed."""
    jobs = submission.elements()
    texts = [logs.read(folder / f"{job}.log") for job in (jobs if submission.layout == "array" else jobs[:1])]
    if submission.layout == "array":
        return [_task(job, found, unknown, text, logs.last_words(text)) for job, text in zip(jobs, texts, strict=True)]
    own = [logs.last_error(logs.read(folder / f"{job}_{i}.log")) for i, job in enumerate(jobs)]
    errors = own if any(own) else [logs.last_words(texts[0])] * len(jobs)
    return [_task(job, found, unknown, texts[0], error) for job, error in zip(jobs, errors, strict=True)]


def _task(job: str, found: dict[str, State], unknown: bool, log: str, error: str | None) -> Task:
    """A job's state from Slurm or else its log; `unknown`: Slurm could not be queried, so the job may be running."""
    state = found.get(job) or logs.state(log)
    if unknown and state.source == "log" and state.name in ("STOPPED", "NEVER RAN"):
        state = replace(state, name="UNKNOWN")
    state = replace(state, restarts=max(state.restarts, logs.restarts(log)))
    task = Task(job, state, error)
    return task if task.failed else replace(task, error=None)


def _planned(run: Path, shards: int) -> list[int] | None:
    plan = RunDirectory(run).description()
    if plan is None:
        return None
    return [len(plan["samples"][i::shards]) * len(plan["arms"]) for i in range(shards)]


def _rows(run: Path) -> dict[str, Rows]:
    """Rows by shard. Of several rows with one key, an answer counts before a failure."""
    by_key: dict[tuple[str, str], tuple[str, str | None]] = {}
    for part in sorted(run.glob("parts/*.parquet")):
        try:
            table = pq.read_table(part, columns=["sample_id", "config_hash", "shard", "error"])
        except (OSError, KeyError, pa.ArrowException) as error:
            raise FreqqError(f"{part} is damaged ({error}): delete it and submit the run again") from error
        for sample, arm, shard, failure in zip(*(column.to_pylist() for column in table.columns), strict=True):
            if failure is None or (sample, arm) not in by_key:
                by_key[sample, arm] = (shard, failure)
    rows: dict[str, Rows] = defaultdict(Rows)
    for shard, failure in by_key.values():
        rows[shard] += Rows(1, int(failure is not None), failure)
    return rows
