"""``freqq slurm-submit``: a sharded `freqq eval` on a Slurm cluster, one process per GPU."""

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freqq.cli import options
from freqq.cli.eval import evaluate

if TYPE_CHECKING:
    from freqq.runs.settings import Settings


def slurm_submit(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="-- [EVAL OPTIONS]", help="What follows -- is for freqq eval.")
    ] = None,
    gpus: Annotated[int, typer.Option("--gpus", metavar="N", help="Processes, one a GPU.")] = 1,
    partition: Annotated[str | None, typer.Option(metavar="NAME", help="The partition.")] = None,
    account: Annotated[str | None, typer.Option(metavar="NAME", help="The account that pays.")] = None,
    qos: Annotated[str | None, typer.Option(metavar="NAME", help="The quality of service.")] = None,
    time: Annotated[str | None, typer.Option(metavar="TIME", help="Time limit of a process, such as 04:00:00.")] = None,
    mem: Annotated[str | None, typer.Option(metavar="SIZE", help="Memory of a process, such as 64G.")] = None,
    constraint: Annotated[str | None, typer.Option(metavar="NAME", help="A feature that nodes must have.")] = None,
    cpus_per_gpu: Annotated[int, typer.Option(metavar="N", help="Processor cores of a process.")] = 8,
    setup: Annotated[
        list[str] | None, typer.Option(metavar="LINE", help="A shell line to run first. Can be repeated.")
    ] = None,
    sbatch_arg: Annotated[
        list[str] | None, typer.Option(metavar="ARG", help="A further sbatch argument. Can be repeated.")
    ] = None,
    job_name: Annotated[str, typer.Option(metavar="NAME", help="What the job is called.")] = "freqq",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the scripts; write and submit nothing.")] = False,
) -> None:
    """Submit an evaluation as an array of shards, and a job that merges them.

    A task that is stopped (time limit, preemption) stores what it has and is queued again.
    """
    from freqq.runs.directory import SCRIPTS, RunDirectory
    from freqq.runs.plan import arms
    from freqq.slurm.script import Job, merge_script, shard_script
    from freqq.slurm.submit import AFTER, MERGE, SHARDS, submit

    job = Job(
        gpus, job_name, partition, account, qos, time, mem, constraint, cpus_per_gpu, setup or (), sbatch_arg or ()
    )
    given = list(arguments or ())
    settings, out = parse_eval(given)
    arms(settings)
    run = (out or settings.directory()).resolve()
    program = [sys.executable, "-m", "freqq"]
    shards = shard_script(job, [*program, "eval", *given, "--out", str(run)], run, Path.cwd())
    merge = merge_script(job, [*program, "runs", "merge", str(run)], run, Path.cwd())
    if dry_run:
        typer.echo(f"# sbatch --parsable {SHARDS}\n{shards}")
        typer.echo(f"# sbatch {' '.join(AFTER).format(job='JOB')} {MERGE}\n{merge}", nl=False)
        return
    RunDirectory(run).check(settings)
    ids = submit(run, shards, merge)
    typer.echo(f"submitted {ids[0]} ({gpus} tasks) and {ids[1]} (merge); scripts and logs are in {run / SCRIPTS}")


def parse_eval(arguments: list[str]) -> "tuple[Settings, Path | None]":
    """The settings and run directory that ``freqq eval`` would have with these arguments.

    Raises
    ------
    UserError
        If a value is wrong, or the arguments name a shard.
    """
    from freqq.errors import UserError

    single = typer.Typer()
    single.command()(evaluate)
    command = typer.main.get_command(single)
    with command.make_context("freqq eval", list(arguments)) as context:
        values = dict(context.params)
    if values["shard"] is not None:
        raise UserError("leave --shard out after --: each process of the array is given its own")
    names = inspect.signature(options.settings).parameters
    out = values["out"]
    return options.settings(**{name: values[name] for name in names}), None if out is None else Path(out)
