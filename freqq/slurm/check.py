"""Checks before a submission: whether Slurm accepts it, and whether its processes find what they need."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from freqq.errors import FreqqError, UserError
from freqq.slurm.submit import need, sbatch


def check_setup(lines: Sequence[str]) -> None:
    """Refuse a setup line that is not a complete command: an open quote would swallow the rest of the script.

    Raises
    ------
    UserError
        With bash's own message.
    """
    for line in lines:
        # -n only parses. An unterminated here-document is only a warning, as is a locale that this machine lacks, which
        # ssh often passes on: C is always there.
        environment = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(
            ["bash", "-n"], input=line + "\n", env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0 or done.stderr:
            reason = done.stderr.strip().splitlines()[0].removeprefix("bash: ")
            raise UserError(f"--setup {line}: bash cannot read it ({reason})")


def check_nodes(nodes: int, backend: str, tensor_parallel: int, data_parallel: int) -> None:
    """Raise a `UserError` for engines that cannot span this number of nodes."""
    given = f"--nodes-per-engine {nodes}"
    if backend != "vllm":
        raise UserError(f"{given} is for engines: give --backend vllm after --")
    if data_parallel > 1:
        raise UserError(
            f"--data-parallel {data_parallel} with {given}: leave it out; --gpus N before -- starts N engines"
        )
    if tensor_parallel % nodes != 0:
        raise UserError(
            f"{given}: --tensor-parallel {tensor_parallel} after -- is not a multiple of it; give all GPUs of an "
            f"engine, such as --tensor-parallel {8 * nodes}"
        )


def check_submission(scripts: Mapping[str, str], run: Path, model: str, revision: str | None) -> list[tuple[str, str]]:
    """Check a submission; returns pairs of what was checked and what was found.

    Runs on this machine and so cannot check that the nodes see the interpreter and the run directory.

    Parameters
    ----------
    scripts : mapping of str to str
        The scripts for sbatch, by name.

    Raises
    ------
    UserError, FreqqError
        For the first problem.
    """
    need("sbatch")
    found = [
        ("interpreter", f"{sys.executable}, Python {sys.version.split()[0]}"),
        ("run directory", f"{run}: can be written"),
    ]
    found.append(("model", find_model(model, revision)))
    for name, script in scripts.items():
        try:
            answer = sbatch(script, "--test-only")
        except FreqqError as error:
            raise FreqqError(f"the {name}: {error}") from error
        found.append((name, answer.removeprefix("sbatch: ")))
    return found


def find_model(name: str, revision: str | None) -> str:
    """Locate a model without loading it.

    Raises
    ------
    UserError
        If it is neither a complete folder nor a hub model in the local cache: many nodes have no network.
    """
    import huggingface_hub

    from freqq.glm.families import short_names

    hub_id = short_names().get(name, name)
    if hub_id is None:
        return f"{name}: in the package"
    folder = Path(name).expanduser()
    if not folder.is_dir():
        try:
            folder = Path(huggingface_hub.snapshot_download(hub_id, revision=revision, local_files_only=True))
        except (OSError, ValueError) as error:
            raise UserError(
                f"--model {name}: it is neither a folder nor in this machine's cache, and nodes often have no network; "
                f"fetch it first: hf download {hub_id}"
            ) from error
    for needed in ("config.json", "*.safetensors"):
        if not any(folder.glob(needed)):
            raise UserError(f"--model {name}: {folder} has no {needed}")
    return f"{name}: {folder}"
