"""The command ``freqq``. Nothing that is imported here may import torch: ``--help`` has to be quick."""

from typing import Annotated

import typer

from freqq import __version__
from freqq.cli.adapt import adapt
from freqq.cli.bench import bench
from freqq.cli.codebook import app as codebook
from freqq.cli.command import Command, Group
from freqq.cli.compare import compare
from freqq.cli.compress_image import compress_image
from freqq.cli.compress_tokens import compress_tokens
from freqq.cli.data import app as data
from freqq.cli.decompress import decompress
from freqq.cli.doctor import doctor
from freqq.cli.errors import Commands
from freqq.cli.eval import evaluate
from freqq.cli.info import info
from freqq.cli.leaderboard import leaderboard
from freqq.cli.methods import methods
from freqq.cli.regrade import regrade
from freqq.cli.render import render
from freqq.cli.report import report
from freqq.cli.runs import app as runs
from freqq.cli.serve import serve
from freqq.cli.slurm_status import slurm_status
from freqq.cli.slurm_submit import slurm_submit
from freqq.cli.train import train
from freqq.cli.visualize import app as visualize

app = typer.Typer(
    name="freqq",
    cls=Commands,
    help="How much of a page image can a vision-language model do without, where, and what does it cost?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("eval")(evaluate)
app.command("regrade")(regrade)
app.command("render")(render)
app.command("compress-image")(compress_image)
app.command("decompress")(decompress)
app.command("info")(info)
app.command("compress-tokens")(compress_tokens)
app.add_typer(codebook, name="codebook", cls=Group)
app.add_typer(visualize, name="visualize", cls=Group)
app.command("slurm-submit", context_settings={"ignore_unknown_options": True})(slurm_submit)
app.command("slurm-status")(slurm_status)
app.add_typer(data, name="data", cls=Group)
app.add_typer(runs, name="runs", cls=Group)
app.command("train")(train)
app.command("serve")(serve)
app.command("adapt")(adapt)
app.command("bench")(bench)
app.command("report")(report)
app.command("compare")(compare)
app.command("leaderboard")(leaderboard)
app.command("methods")(methods)
app.command("doctor")(doctor)
for _one in (app, codebook, visualize, data, runs):
    for _command in _one.registered_commands:
        _command.cls = Command


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"freqq {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of every command."""


def main() -> None:
    """Entry point of the command line."""
    app(prog_name="freqq")
