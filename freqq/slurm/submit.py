"""Submit a sharded evaluation with sbatch, and keep its scripts and job ids."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from freqq.errors import FreqqError, UserError
from freqq.files import write_whole
from freqq.runs.directory import SCRIPTS
from freqq.slurm.queue import element, states
from freqq.slurm.script import LAYOUTS

SHARDS, MERGE, SUBMISSION = "shards.sbatch", "merge.sbatch", "submission.json"
AFTER = ("--kill-on-invalid-dep=yes", "--dependency=afterok:{job}")
"""The merge job starts after every process has succeeded, and is dropped if one has failed."""

VARIABLES = {"timelimit": "time", "array-inx": "array", "no-requeue": "requeue", "mem-per-node": "mem"}
"""Options with other names in sbatch's environment variables than on its command line."""

MOST_SHARDS = 100_000
"""A larger number means that a file is damaged: Slurm's limit is lower."""


@dataclass(frozen=True)
class Submission:
    """The last submission of a run.

    Parameters
    ----------
    job, merge : str
        Slurm's ids.
    command : str
        The shell command that submitted it, with the interpreter's absolute path.
    folder : str
        Its working directory.
    """

    layout: str
    shards: int
    job: str
    merge: str
    command: str
    folder: str

    def elements(self) -> list[str]:
        """Slurm's ids of the shards: one each in an array, all equal on a node."""
        return [element(self.job, i) if self.layout == "array" else self.job for i in range(self.shards)]

    def write(self, run: Path) -> None:
        """Write ``submission.json`` to the folder of the scripts."""
        text = json.dumps(asdict(self), indent=2) + "\n"
        write_whole(run / SCRIPTS / SUBMISSION, lambda p: p.write_text(text))

    @classmethod
    def read(cls, run: Path) -> "Submission | None":
        """The last submission of a run; None if there is none.

        Raises
        ------
        UserError
            If the file is damaged.
        """
        file = run / SCRIPTS / SUBMISSION
        try:
            found = cls(**json.loads(file.read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{file} is not readable ({error}): delete it") from error
        texts = (found.layout, found.job, found.merge, found.command, found.folder)
        if not all(isinstance(t, str) for t in texts) or not (found.job.isdecimal() and found.merge.isdecimal()):
            raise UserError(f"{file} is damaged: delete it")
        if found.layout not in LAYOUTS or type(found.shards) is not int or not 1 <= found.shards <= MOST_SHARDS:
            raise UserError(f"{file} is damaged: delete it")
        return found


def need(program: str) -> None:
    """Raise a `UserError` if a program of Slurm is missing."""
    if shutil.which(program) is None:
        raise UserError(f"there is no {program} here: run this on a Slurm login node")


def check_idle(run: Path) -> None:
    """Refuse a run whose last submission is, or may be, still in the queue: both would work on the same shards."""
    last = Submission.read(run)
    if last is None:
        return
    jobs = [*last.elements(), last.merge]
    found, problem = states(jobs)
    waiting = sorted({job.partition("_")[0] for job, state in found.items() if state.live}, key=int)
    if waiting:
        raise UserError(
            f"{run} is running in Slurm (job {' and '.join(waiting)}): wait for it, or run: scancel {' '.join(waiting)}"
        )
    if problem and not found.keys() >= set(jobs):
        raise FreqqError(
            f"cannot tell whether {run} is still running in Slurm as job {last.job} ({' '.join(problem.split())}): "
            "try again when Slurm answers"
        )


def submit(run: Path, shards: str, merge: str, *, layout: str, count: int, command: str, folder: Path) -> Submission:
    """Submit both scripts, and write them and the `Submission` to ``<run>/slurm``.

    Parameters
    ----------
    shards, merge : str
        The scripts.
    layout, count, command, folder
        As in `Submission`.

    Raises
    ------
    UserError
        If there is no sbatch, or the run is already in the queue; nothing is written.
    FreqqError
        If Slurm does not say whether the last submission still runs, or sbatch refuses. Nothing is left in the queue
        or the run directory.
    """
    need("sbatch")
    check_idle(run)
    scripts = run / SCRIPTS
    created = [folder for folder in (scripts, *scripts.parents) if not folder.exists()]
    try:
        try:
            scripts.mkdir(parents=True, exist_ok=True)  # a job that starts immediately writes its log there
        except OSError as error:
            raise UserError(f"cannot write to {scripts} ({error.strerror}): choose another --out") from error
        job = _id(sbatch(shards, "--parsable"))
    except FreqqError:
        _remove(created)
        raise
    try:
        after = [a.format(job=job) for a in AFTER]
        merging = _id(sbatch(merge, "--parsable", *after))
        (scripts / SHARDS).write_text(shards)
        (scripts / MERGE).write_text(merge)
        submission = Submission(layout, count, job, merging, command, str(folder))
        submission.write(run)
    except BaseException:  # also of Ctrl-C: nothing would know of the first job
        subprocess.run(["scancel", job], capture_output=True, check=False)
        _remove(created)
        raise
    return submission


def _remove(folders: Sequence[Path]) -> None:
    """Remove empty folders of a refused submission; one in which a job has begun a log stays."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def sbatch(script: str, *arguments: str) -> str:
    """Run sbatch with a script; returns its output from either stream.

    Raises
    ------
    FreqqError
        If it refuses.
    """
    done = subprocess.run(
        ["sbatch", *arguments],
        input=script,
        env=environment(script, os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise FreqqError(f"sbatch refuses: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip() or done.stderr.strip()


def environment(script: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Remove environment variables that would override a directive of the script.

    Many users set SBATCH_PARTITION for interactive work, and SBATCH_NO_REQUEUE would defeat the script. Variables
    without a directive, such as an account, stay.
    """
    stated = set(re.findall(r'^#SBATCH "?--([a-z-]+)', script, re.MULTILINE))

    def option(variable: str) -> str:
        name = variable.removeprefix("SBATCH_").lower().replace("_", "-")
        return VARIABLES.get(name, name)

    return {n: v for n, v in variables.items() if not (n.startswith("SBATCH_") and option(n) in stated)}


def _id(parsable: str) -> str:
    return parsable.partition(";")[0]  # "id;cluster" on federated clusters
