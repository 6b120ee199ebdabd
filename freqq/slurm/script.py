"""The sbatch texts of a sharded evaluation, as pure functions."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freqq.errors import UserError
from freqq.runs.directory import SCRIPTS

MAX_RESTARTS = 50
"""Requeues of one array task before it counts as failed: a run that never gets anywhere must end."""

GRACE_SECONDS = 120
"""How long before its time limit a task is told to finish its batch."""


@dataclass(frozen=True)
class Job:
    """What a cluster is asked for. Names without a value are left to the cluster.

    Parameters
    ----------
    gpus : int
        Array tasks, each a process with one GPU and one shard of the samples.
    cpus_per_gpu : int
        Processor cores of a task.
    setup : sequence of str
        Shell lines that run first, such as ``module load cuda``.
    sbatch_args : sequence of str
        Further arguments for sbatch, such as ``--nodelist=a1``.

    Raises
    ------
    UserError
        If a value could not stand on one line of a script's header, or a number is out of range.
    """

    gpus: int
    name: str = "freqq"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: str | None = None
    mem: str | None = None
    constraint: str | None = None
    cpus_per_gpu: int = 8
    setup: Sequence[str] = ()
    sbatch_args: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.gpus < 1 or self.cpus_per_gpu < 1:
            raise UserError(f"--gpus {self.gpus} --cpus-per-gpu {self.cpus_per_gpu}: at least one of each is needed")
        named = ("name", "partition", "account", "qos", "time", "mem", "constraint")
        for what, value in [*((n, getattr(self, n)) for n in named), *(("sbatch-arg", a) for a in self.sbatch_args)]:
            # A line break would end the directive and let the rest run as a directive or a command of its own.
            if value is not None and (not value or not value.isprintable()):
                raise UserError(
                    f"--{what.replace('name', 'job-name')} {value!r}: it has to be one line of printable text"
                )
        for argument in self.sbatch_args:
            if not argument.startswith("-"):
                raise UserError(f"--sbatch-arg {argument}: write it as sbatch does, such as --nodelist=a1")


def shard_script(job: Job, command: Sequence[str], run: Path, folder: Path) -> str:
    """The array job: one task a GPU, each evaluating its shard; told to stop it exits with 75 and is queued again.

    Parameters
    ----------
    command : sequence of str
        The evaluation without its shard, interpreter first, absolute.
    run : Path
        The run directory, absolute; logs go to its folder for scripts.
    folder : Path
        Where the evaluation runs, so that relative paths mean what they did.
    """
    evaluate = f'{shlex.join(command)} --shard "${{SLURM_ARRAY_TASK_ID}}/{job.gpus}"'
    header = [
        *_common(job, job.name, folder),
        _directive("array", f"0-{job.gpus - 1}"),
        _directive("ntasks", "1"),
        _directive("cpus-per-task", str(job.cpus_per_gpu)),
        _directive("gres", "gpu:1"),
        *(_directive(n, v) for n, v in (("time", job.time), ("mem", job.mem), ("constraint", job.constraint)) if v),
        _directive("output", _log(run, "%A_%a.log")),
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        # Without "B:" the signal goes to the step that srun starts, hence to Python itself.
        _directive("signal", f"USR1@{GRACE_SECONDS}"),
        *(f"#SBATCH {shlex.quote(a)}" for a in job.sbatch_args),
    ]
    body = [
        f"export OMP_NUM_THREADS={job.cpus_per_gpu} OMP_WAIT_POLICY=PASSIVE TOKENIZERS_PARALLELISM=false",
        "status=0",
        f"srun --ntasks=1 --cpus-per-task={job.cpus_per_gpu} {evaluate} || status=$?",
        "# 75: stopped before its time limit, or preempted, with every finished answer stored.",
        f'if [ "$status" -eq 75 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {MAX_RESTARTS} ]; then',
        '    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"',
        "fi",
        'exit "$status"',
    ]
    return _script(header, job.setup, body)


def merge_script(job: Job, command: Sequence[str], run: Path, folder: Path) -> str:
    """The job that puts the shards together; sbatch is given its dependency when it is submitted."""
    header = [
        *_common(job, f"{job.name}-merge", folder),
        _directive("ntasks", "1"),
        _directive("output", _log(run, "%j_merge.log")),
        "#SBATCH --open-mode=append",
    ]
    return _script(header, job.setup, [shlex.join(command)])


def _common(job: Job, name: str, folder: Path) -> list[str]:
    named = (("partition", job.partition), ("account", job.account), ("qos", job.qos))
    return [
        _directive("job-name", name),
        _directive("chdir", str(folder)),
        *(_directive(n, v) for n, v in named if v),
    ]


def _directive(name: str, value: str) -> str:
    if not value.isprintable():
        raise UserError(f"{value!r} cannot stand in a Slurm script: choose a path without line breaks")
    return f"#SBATCH --{name}={shlex.quote(value)}"


def _log(run: Path, name: str) -> str:
    """A log's path; a percent sign of the folder's own is doubled, as sbatch would expand it."""
    return str(run / SCRIPTS).replace("%", "%%") + f"/{name}"


def _script(header: Sequence[str], setup: Sequence[str], body: Sequence[str]) -> str:
    return "\n".join(["#!/usr/bin/env bash", *header, "", "set -eo pipefail", *setup, *body, ""])
