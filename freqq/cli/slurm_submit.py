"""``freqq slurm-submit``: a sharded `freqq eval` on a Slurm cluster, one process per GPU."""

import shlex
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freqq.cli.command import Command, argument, option, switch
from freqq.cli.eval import evaluate
from freqq.runs.options import EvalOptions

if TYPE_CHECKING:
    from freqq.runs.settings import Settings

OURS = {
    "shard": "each process is given its own",
    "gpus": "each process is given one; ask for more processes with --gpus before --",
    "workers": "each process has a GPU for itself; ask for more processes with --gpus before --",
    "device_map": "each process sees one GPU; a model over several needs --backend vllm --tensor-parallel N",
    "dry_run": "give --check before --, which counts what the run would do as well",
}
"""Options of `freqq eval` that the scripts set themselves, and what to do instead."""


JOBS = "Slurm's jobs"
"""Title of the group of sbatch's options in the help text."""


def slurm_submit(
    arguments: Annotated[list[str] | None, argument("-- [EVAL OPTIONS]", "Options of freqq eval.")] = None,
    gpus: Annotated[int, option("--gpus", "N", "Processes, each with a GPU or an engine.")] = 1,
    layout: Annotated[
        str,
        option(
            "--layout",
            "array|node",
            "array: a task for each shard, requeued separately. node: one job on one node for all shards.",
            offered=("array", "node"),
        ),
    ] = "array",
    nodes_per_engine: Annotated[
        int,
        option("--nodes-per-engine", "N", "Nodes that share an engine of --backend vllm and its --tensor-parallel."),
    ] = 1,
    partition: Annotated[str | None, option("--partition", "NAME", "The partition.", JOBS)] = None,
    account: Annotated[str | None, option("--account", "NAME", "The account to charge.", JOBS)] = None,
    qos: Annotated[str | None, option("--qos", "NAME", "The quality of service.", JOBS)] = None,
    time: Annotated[str | None, option("--time", "TIME", "Time limit of a job, such as 04:00:00.", JOBS)] = None,
    mem: Annotated[
        str | None, option("--mem", "SIZE", "Memory of a process, such as 64G (node: for each GPU).", JOBS)
    ] = None,
    constraint: Annotated[str | None, option("--constraint", "NAME", "A feature that nodes must have.", JOBS)] = None,
    cpus_per_gpu: Annotated[int, option("--cpus-per-gpu", "N", "Processor cores for each GPU.", JOBS)] = 8,
    setup: Annotated[
        list[str] | None, option("--setup", "LINE", "A shell line to run first; can be repeated.", JOBS)
    ] = None,
    sbatch_arg: Annotated[
        list[str] | None, option("--sbatch-arg", "ARG", "A further argument of sbatch; can be repeated.", JOBS)
    ] = None,
    job_name: Annotated[str, option("--job-name", "NAME", "Name of the job.", JOBS)] = "freqq",
    dry_run: Annotated[bool, switch("--dry-run", "Print the scripts; write and submit nothing.")] = False,
    check: Annotated[
        bool,
        switch(
            "--check",
            "Check the model and whether Slurm accepts the jobs, forecast the run, and report what cannot work; write "
            "and submit nothing.",
        ),
    ] = False,
    as_json: Annotated[bool, switch("--json", "With --check, print JSON and no table.")] = False,
) -> None:
    """Submit an evaluation as an array of shards, and a job that merges them.

    With --backend vllm after --, each process starts an engine of its own, on as many GPUs as --tensor-parallel and
    --data-parallel say, of one node or with --nodes-per-engine of several.

    A process that is stopped (time limit, preemption) stores its answers and is queued again. freqq slurm-status shows
    the progress; run the same command again to submit what is missing.

    Example: freqq slurm-submit --gpus 4 --time 08:00:00 -- --model glyph --method token --needle 2 --out runs/glyph
    """
    from freqq.errors import UserError
    from freqq.runs.directory import SCRIPTS, RunDirectory
    from freqq.runs.environment import adding_script
    from freqq.runs.plan import arms
    from freqq.runs.served import ENGINE_CONCURRENCY
    from freqq.serve.engine import TIMEOUT_S
    from freqq.slurm.check import check_nodes, check_setup, check_submission
    from freqq.slurm.script import Job, engine_script, merge_script, shards_script
    from freqq.slurm.submit import AFTER, MERGE, SHARDS, submit

    if as_json and not check:
        raise UserError("--json is for --check")
    lines, further = tuple(setup or ()), tuple(sbatch_arg or ())
    check_setup(lines)
    given = list(arguments or ())
    options = parse_eval(given)
    machine, settings = options.machine(), options.settings()
    machine.check_backend(settings.backend)
    if nodes_per_engine > 1:
        check_nodes(nodes_per_engine, settings.backend, machine.tensor_parallel, machine.data_parallel)
    gpus_each = machine.tensor_parallel * machine.data_parallel // max(1, nodes_per_engine)
    job = Job(
        gpus, layout, job_name, partition, account, qos, time, mem, constraint, cpus_per_gpu, lines, further, gpus_each,
        nodes_per_engine,
    )  # fmt: skip
    arms(settings)
    run, folder = (options.folder() or settings.directory()).resolve(), Path.cwd()
    script = adding_script()
    program = [sys.executable, *(("-m", "freqq") if script is None else (str(Path(script).resolve()),))]
    evaluation = [*program, "eval", *without(given, "--out"), "--out", str(run)]
    if nodes_per_engine == 1:
        shards = shards_script(job, evaluation, run, folder)
    else:
        limits = {"concurrency": ENGINE_CONCURRENCY, "timeout_s": TIMEOUT_S, **machine.limits}
        client = [
            "--backend", "openai", "--tensor-parallel", "1", "--concurrency", str(limits["concurrency"]),
            "--timeout", f"{limits['timeout_s']:g}",
        ]  # fmt: skip
        evaluation = [*without(evaluation, *client[::2], "--base-url"), *client]
        shards = engine_script(job, [*program, *_serving(settings, machine.tensor_parallel)], evaluation, run, folder)
    merge = merge_script(job, [*program, "runs", "merge", str(run)], run, folder)
    if dry_run:
        typer.echo(f"# sbatch --parsable {SHARDS}\n{shards}")
        typer.echo(f"# sbatch --parsable {' '.join(AFTER).format(job='JOB')} {MERGE}\n{merge}", nl=False)
        return
    RunDirectory(run).check(settings if nodes_per_engine == 1 else replace(settings, backend="openai"))
    if check:
        from freqq.cli.dry_run import show_forecast
        from freqq.runs.forecast import forecast

        scripts = {"shards": shards, "merge": merge}
        checked = dict(check_submission(scripts, run, settings.model, settings.revision))
        show_forecast(forecast(settings, run, machine, elsewhere=True), as_json, checked)
        if not as_json:
            typer.echo("nothing was submitted")
        return
    command = shlex.join([*program, *sys.argv[1:]])
    done = submit(run, shards, merge, layout=layout, count=gpus, command=command, folder=folder)
    typer.echo(f"submitted {done.job} ({gpus} processes) and {done.merge} (merge)")
    typer.echo(f"scripts and logs are in {run / SCRIPTS}; to see its progress: freqq slurm-status {run}")


def _serving(settings: "Settings", tensor_parallel: int) -> list[str]:
    """The arguments of freqq that start an engine for these settings, without its port."""
    revision = [] if settings.revision is None else ["--revision", settings.revision]
    return [
        "serve", "--engine", "vllm", "--model", settings.model, *revision, "--dtype", settings.dtype,
        "--tensor-parallel", str(tensor_parallel), "--host", "127.0.0.1",
    ]  # fmt: skip


def without(arguments: list[str], *options: str) -> list[str]:
    """Arguments without some options that take a value, which are set in their place."""
    places = [i for i, one in enumerate(arguments) if one in options]
    dropped = {*places, *(i + 1 for i in places)}
    return [a for i, a in enumerate(arguments) if i not in dropped and a.partition("=")[0] not in options]


def parse_eval(arguments: list[str]) -> EvalOptions:
    """The options of ``freqq eval`` with these arguments.

    Raises
    ------
    UserError
        If a value is wrong, set by the scripts themselves, or not allowed in a script.
    """
    from freqq.errors import UserError

    for one in arguments:
        if any("\ud800" <= c <= "\udfff" for c in one):  # Python's representation of bytes that are not UTF-8
            raise UserError(f"{one!r} cannot be used in a Slurm script: it is not UTF-8")
    single = typer.Typer()
    single.command(cls=Command)(evaluate)
    command = typer.main.get_command(single)
    with command.make_context("freqq eval", list(arguments)) as context:
        values = dict(context.params)
    for name, why in OURS.items():
        if values[name] not in (None, False):
            raise UserError(f"leave --{name.replace('_', '-')} out after --: {why}")
    return EvalOptions(**{field.name: values[field.name] for field in fields(EvalOptions)})
