"""Save a sharded evaluation's scripts and hand them to sbatch."""

import shutil
import subprocess
from pathlib import Path

from freqq.errors import FreqqError, UserError
from freqq.runs.directory import SCRIPTS

SHARDS, MERGE = "shards.sbatch", "merge.sbatch"
AFTER = ("--kill-on-invalid-dep=yes", "--dependency=afterok:{job}")
"""The merge job starts when every task has ended well, and is dropped if one has not."""


def submit(run: Path, shards: str, merge: str) -> tuple[str, str]:
    """Write both scripts to ``<run>/slurm``, submit them, and return the ids of the two jobs.

    Raises
    ------
    UserError
        If there is no sbatch here, before anything is written.
    FreqqError
        If sbatch refuses.
    """
    if shutil.which("sbatch") is None:
        raise UserError("there is no sbatch here: run this on a Slurm login node, or add --dry-run to see the scripts")
    folder = run / SCRIPTS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SHARDS).write_text(shards)
        (folder / MERGE).write_text(merge)
    except OSError as error:
        raise UserError(f"cannot write to {folder} ({error.strerror}): choose another --out") from error
    job = _sbatch(str(folder / SHARDS))
    return job, _sbatch(*(a.format(job=job) for a in AFTER), str(folder / MERGE))


def _sbatch(*arguments: str) -> str:
    done = subprocess.run(["sbatch", "--parsable", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise FreqqError(f"sbatch refused {arguments[-1]}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip().partition(";")[0]  # "id;cluster" on federated clusters
