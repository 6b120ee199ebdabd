"""The sbatch scripts of a sharded evaluation, as pure functions."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freqq.errors import BrokenDevice, Interrupted, UserError
from freqq.names import unknown
from freqq.runs.directory import SCRIPTS

LAYOUTS = ("array", "node")

MAX_RESTARTS = 50
"""Requeues of one job before it counts as failed, so that a run without progress ends."""

GRACE_SECONDS = 120
"""How long before its time limit a process gets a signal. It stops between two tokens, or within a long prompt
(`freqq.runs.stop`), stores its rows and exits; stopping its own engine takes longest."""

STOPPED, KILLED_BY_USR1, BROKEN_DEVICE = Interrupted.exit_code, 128 + 10, BrokenDevice.exit_code
"""Exit codes after which a shard is requeued: stopped by a signal; killed by it while Python was starting (bash's
code); and a failed accelerator, since another one, or the same one after a reset, may work."""

REQUEUED = (STOPPED, KILLED_BY_USR1, BROKEN_DEVICE)

BEGINS, ENDED = "freqq: begins", "freqq: ended with"
"""Lines in a log by which `freqq slurm-status` recognizes attempts and their exit codes."""

OWN_ID_OF_ARRAY = '"${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"'
"""A task's id. The array's id would requeue all of its tasks."""

OURS = r"--(array|ntasks|output|error|chdir|no-requeue|wrap)(=|$)|-[anoeD]"
"""Arguments of sbatch that the scripts depend on."""

OURS_OF_NODES = r"--(nodes|ntasks-per-node|gres)(=|$)|-N"
"""Further arguments that an engine on several nodes depends on."""

PORTS = 10_000
"""Base of an engine's port; its job's id is added because nodes may be shared. vLLM's own port is higher by this."""

HEALTH = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)"
"""Python code that fails until the server answers with 200; nodes may have no curl."""


@dataclass(frozen=True)
class Job:
    """The resources of a job. Fields that are None are left to the cluster.

    Parameters
    ----------
    gpus : int
        Processes, each with one shard of the samples.
    layout : str
        ``array``: each process is a task of an array, started, stopped and requeued separately.
        ``node``: all are one job on one node.
    mem : str
        Memory in sbatch's notation: per process in an array, per GPU on a node.
    cpus_per_gpu : int
        Processor cores per GPU of a process.
    setup : sequence of str
        Shell lines that run first, such as ``module load cuda``.
    sbatch_args : sequence of str
        Further arguments for sbatch, such as ``--nodelist=a1``. They override those of the scripts.
    gpus_each : int
        GPUs of a process per node: more than one for an engine whose model does not fit on one.
    nodes : int
        Nodes of a process: more than one for an engine whose model does not fit on one. ``mem`` is per node.

    Raises
    ------
    UserError
        If a value does not fit on one line of a script, or a number is out of range.
    """

    gpus: int
    layout: str = "array"
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
    gpus_each: int = 1
    nodes: int = 1

    @property
    def cpus(self) -> int:
        """Processor cores of a process on a node."""
        return self.gpus_each * self.cpus_per_gpu

    def __post_init__(self) -> None:
        if self.gpus < 1 or self.cpus_per_gpu < 1:
            raise UserError(f"--gpus {self.gpus} --cpus-per-gpu {self.cpus_per_gpu}: at least one of each is needed")
        if self.layout not in LAYOUTS:
            raise unknown("layout", self.layout, LAYOUTS)
        if self.nodes < 1:
            raise UserError(f"--nodes-per-engine {self.nodes}: at least one is needed")
        if self.nodes > 1 and self.layout != "array":
            raise UserError(f"--layout {self.layout} is one node: leave it out, or --nodes-per-engine {self.nodes}")
        named = ("name", "partition", "account", "qos", "time", "mem", "constraint")
        listed = [("sbatch-arg", a) for a in self.sbatch_args] + [("setup", line) for line in self.setup]
        for what, value in [*((n, getattr(self, n)) for n in named), *listed]:
            # A line break would end the directive, and the rest would be another directive or command.
            if value is not None and (not value or not value.isprintable()):
                raise UserError(
                    f"--{what.replace('name', 'job-name')} {value!r}: it has to be one line of printable text"
                )
        for line in self.setup:
            if line.endswith("\\"):
                raise UserError(f"--setup {line}: a line that ends with a backslash would swallow the next one")
        for argument in self.sbatch_args:
            if not argument.startswith("-"):
                raise UserError(f"--sbatch-arg {argument}: write it as sbatch does, such as --nodelist=a1")
            if re.match(OURS, argument) or (self.nodes > 1 and re.match(OURS_OF_NODES, argument)):
                raise UserError(f"--sbatch-arg {argument}: the scripts depend on their own value; leave it out")


def shards_script(job: Job, command: Sequence[str], run: Path, folder: Path) -> str:
    """The job that evaluates the shards, one process each; a stopped shard is requeued.

    Parameters
    ----------
    command : sequence of str
        The evaluation without its shard; begins with the interpreter's absolute path.
    run : Path
        The run directory, absolute; logs go to its folder for scripts.
    folder : Path
        The working directory, to which relative paths refer.
    """
    return _array(job, command, run, folder) if job.layout == "array" else _node(job, command, run, folder)


def _array(job: Job, command: Sequence[str], run: Path, folder: Path) -> str:
    header = [
        _directive("array", f"0-{job.gpus - 1}"),
        _directive("ntasks", "1"),
        _directive("gres", f"gpu:{job.gpus_each}"),
        *_given("mem", job.mem),
        _directive("output", _log(run, "%A_%a.log")),
    ]
    srun = f'srun --ntasks=1 {_srun(job)} {shlex.join(command)} --shard "${{SLURM_ARRAY_TASK_ID}}/{job.gpus}"'
    return _shards(job, folder, header, [f"{srun} || status=$?"], OWN_ID_OF_ARRAY)


def _node(job: Job, command: Sequence[str], run: Path, folder: Path) -> str:
    header = [
        _directive("nodes", "1"),
        _directive("ntasks", str(job.gpus)),
        _directive("gpus-per-task", str(job.gpus_each)),
        *_given("mem-per-gpu", job.mem),
        _directive("output", _log(run, "%j.log")),
    ]
    # Shards take different times, and one that fails must not stop the others.
    alone = "--wait=0 --kill-on-bad-exit=0"
    log = f"--open-mode=append --output={shlex.quote(_log(run, '%j_%t.log'))}"
    # A process knows its number only within its task; "exec" lets signals reach Python itself.
    shard = f'echo "{BEGINS}, restart ${{SLURM_RESTART_COUNT:-0}}"; exec "$@" --shard "${{SLURM_PROCID}}/{job.gpus}"'
    srun = (
        f"srun --ntasks={job.gpus} --gpus-per-task={job.gpus_each} {_srun(job)} {alone} {log} "
        f"bash -c {shlex.quote(shard)} freqq {shlex.join(command)}"
    )
    return _shards(job, folder, header, [f"{srun} || status=$?"], '"${SLURM_JOB_ID}"')


def engine_script(job: Job, engine: Sequence[str], command: Sequence[str], run: Path, folder: Path) -> str:
    """Like `shards_script`, for engines that span nodes: each task of the array starts one and uses it from node 0.

    Node 0 serves requests on its loopback address; the others run with ``--headless`` (vllm/entrypoints/cli/serve.py).

    Parameters
    ----------
    engine : sequence of str
        The command of a vLLM server, beginning with the interpreter, without its port and node arguments.
    command : sequence of str
        The evaluation by a server, without its address and shard.
    """
    header = [
        _directive("array", f"0-{job.gpus - 1}"),
        _directive("nodes", str(job.nodes)),
        _directive("ntasks-per-node", "1"),
        _directive("gres", f"gpu:{job.gpus_each}"),
        *_given("mem", job.mem),
        _directive("output", _log(run, "%A_%a.log")),
    ]
    # Slurm signals this step too, but the engine must live until the evaluation has stored its answers.
    start = 'trap "" USR1; ((SLURM_PROCID == 0)) || set -- "$@" --headless; exec "$@" --node-rank "$SLURM_PROCID"'
    log = f"--open-mode=append --output={shlex.quote(_log(run, '%A_%a_vllm.log'))}"
    nodes = f'--nnodes {job.nodes} --master-addr "$SLURMD_NODENAME" --master-port "$((port + {PORTS}))"'
    # A signal while the engine loads has the same effect as one while Python starts.
    ask = (
        f'until "$1" -c {shlex.quote(HEALTH)} "http://127.0.0.1:$port/health" 2>/dev/null; do\n'
        '    kill -0 "$engine" 2>/dev/null || { echo "error: vLLM ended before it answered, see its log"; exit 1; }\n'
        '    sleep 5\ndone\nexec "$@"'
    )
    steps = [
        f"export port=$(({PORTS} + SLURM_JOB_ID % {PORTS}))",
        f"srun --overlap --nodes={job.nodes} --ntasks={job.nodes} --kill-on-bad-exit=1 {_srun(job)} {log} "
        f'bash -c {shlex.quote(start)} vllm {shlex.join(engine)} --port "$port" -- {nodes} &',
        "export engine=$!",
        f'srun --overlap --nodes=1 --ntasks=1 --nodelist="$SLURMD_NODENAME" {_srun(job)} bash -c {shlex.quote(ask)} '
        f'freqq {shlex.join(command)} --base-url "http://127.0.0.1:$port/v1" '
        f'--shard "${{SLURM_ARRAY_TASK_ID}}/{job.gpus}" || status=$?',
        'kill "$engine" 2>/dev/null || true',
    ]
    return _shards(job, folder, header, steps, OWN_ID_OF_ARRAY)


def _srun(job: Job) -> str:
    """Common arguments: srun does not inherit the cores from sbatch, nor the environment if sbatch is asked not to."""
    return f"--cpus-per-task={job.cpus} --export=ALL"


def _shards(job: Job, folder: Path, header: Sequence[str], steps: Sequence[str], own_id: str) -> str:
    """`steps` store the evaluation's exit code in ``status``."""
    common = [
        *_common(job, job.name, folder),
        *header,
        _directive("cpus-per-task", str(job.cpus)),
        *_given("time", job.time),
        *_given("constraint", job.constraint),
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        # Without "B:", the signal goes to srun's step, and so to Python itself.
        _directive("signal", f"USR1@{GRACE_SECONDS}"),
        *(f"#SBATCH {quote(a)}" for a in job.sbatch_args),
    ]
    body = [
        f"export OMP_NUM_THREADS={job.cpus_per_gpu} OMP_WAIT_POLICY=PASSIVE TOKENIZERS_PARALLELISM=false",
        "status=0",
        *steps,
        f"# {STOPPED}: stopped by a signal, finished answers are stored. {KILLED_BY_USR1}: stopped before it began. "
        f"{BROKEN_DEVICE}: a GPU failed.",
        f'if [[ "$status" =~ ^({"|".join(map(str, REQUEUED))})$ '
        f'&& "${{SLURM_RESTART_COUNT:-0}}" -lt {MAX_RESTARTS} ]]; then',
        f'    scontrol requeue {own_id} || echo "error: it could not be queued again"',
        "fi",
        'exit "$status"',
    ]
    return _script(common, job.setup, body)


def merge_script(job: Job, command: Sequence[str], run: Path, folder: Path) -> str:
    """The job that merges the shards; its dependency is given to sbatch at submission."""
    header = [
        *_common(job, f"{job.name}-merge", folder),
        _directive("ntasks", "1"),
        _directive("output", _log(run, "%j_merge.log")),
        *_given("time", job.time),
        "#SBATCH --open-mode=append",
    ]
    return _script(header, job.setup, [shlex.join(command)])


def quote(value: str) -> str:
    """Quote a value for an sbatch directive: unlike in a shell, a backslash is an escape in any quotes."""
    if re.fullmatch(r"[\w@%+=:,./-]+", value, re.ASCII):
        return value
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def _common(job: Job, name: str, folder: Path) -> list[str]:
    return [
        _directive("job-name", name),
        _directive("chdir", str(folder)),
        *_given("partition", job.partition),
        *_given("account", job.account),
        *_given("qos", job.qos),
    ]


def _given(name: str, value: str | None) -> list[str]:
    return [] if value is None else [_directive(name, value)]


def _directive(name: str, value: str) -> str:
    if not value.isprintable():
        raise UserError(f"{value!r} cannot be used in a Slurm script: choose a path without line breaks")
    return f"#SBATCH --{name}={quote(value)}"


def _log(run: Path, name: str) -> str:
    """A log's path. Sbatch expands percent signs, so the folder's are doubled; a backslash would disable that."""
    folder = str(run / SCRIPTS)
    if "\\" in folder:
        raise UserError(f"{run}: Slurm cannot write a log into a folder with a backslash; choose another --out")
    return folder.replace("%", "%%") + f"/{name}"


def _script(header: Sequence[str], setup: Sequence[str], body: Sequence[str]) -> str:
    marks = [
        f'echo "{BEGINS} on ${{SLURMD_NODENAME:-?}}, restart ${{SLURM_RESTART_COUNT:-0}}"',
        f"trap 'echo \"{ENDED} $?\"' EXIT",
    ]
    return "\n".join(["#!/usr/bin/env bash", *header, "", "set -eo pipefail", *marks, *setup, *body, ""])
