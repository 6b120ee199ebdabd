"""The command ``freqq``. Nothing imported here may import torch, so that ``--help`` is fast."""

import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from freqq import __version__
from freqq.cli.command import Command, Group, Guarded, Summary
from freqq.errors import BrokenDevice, FreqqError, Interrupted, UserError

COMMANDS = {
    "eval": "Score a model on chats that it reads as page images, with and without compression, on the same samples.",
    "regrade": "Grade the stored responses of a run again, without a model, and show what changed.",
    "render": "Render chats to page images with the line breaks, page breaks and pixels of Glyph's pipeline.",
    "compress-image": "Compress page images with image codecs, and measure their real sizes and quality.",
    "decompress": "Decode a page from its stream, whatever codec wrote it.",
    "info": "Describe the stream of a page and verify its checksum, without decoding it.",
    "compress-tokens": "Compress the vision tokens of page images, and measure the error and the real size.",
    "slurm-submit": "Submit an evaluation as an array of shards, and a job that merges them.",
    "slurm-status": "Show the state, rows and last error of each shard of a submitted run, and of its merge.",
    "train": "Train a small GLM-4V from scratch on two CPU cores; run it again to resume from the last checkpoint.",
    "serve": "Serve a model to freqq eval --backend openai and other clients of the protocol.",
    "adapt": (
        "Train an adapter (LoRA, the vision merger, or both) with a compressor in the loop; the model's weights stay."
    ),
    "bench": "Measure what token methods save in vLLM: throughput, time to first token, key-value cache.",
    "report": "Report the results of runs: each method against the baseline on the same samples.",
    "compare": "Compare the arms of several runs on the samples that they share.",
    "leaderboard": "Rank the arms of all runs in a folder, with their rates.",
    "methods": (
        "List the methods, their parameters at the four levels, and where they come from; or show the card of one."
    ),
    "doctor": "Show versions, devices, memory, fonts and codebooks, what is missing, and how to get it.",
    "codebook": "Train and list codebooks of vector quantization.",
    "visualize": "Draw what compression does to a page, or how long chats are.",
    "data": "List data sets, or describe one.",
    "runs": "List, show, merge and verify run directories.",
}
"""The first paragraph of each command's help. Its module is imported when it runs."""

ELSEWHERE = {"eval": ("eval", "evaluate"), "info": ("decompress", "info")}
"""Modules and functions that are not named after their commands."""

SETTINGS: dict[str, dict[str, bool]] = {"slurm-submit": {"ignore_unknown_options": True}}


class Commands(Guarded):
    """The top-level group; commands are built on demand, and listed without being built."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.commands = {name: Summary(name, help=help) for name, help in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Replace the summary of the named command by the command itself."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and built(str(name)), rest


def built(name: str) -> Any:
    """A command or group with its options."""
    own = name.replace("-", "_")
    module, function = ELSEWHERE.get(name, (own, own))
    found = import_module(f"freqq.cli.{module}")
    parent = typer.Typer()
    if hasattr(found, "app"):
        for command in found.app.registered_commands:
            command.cls = Command
        parent.add_typer(found.app, name=name, cls=Group)
    else:
        parent.command(name, cls=Command, context_settings=SETTINGS.get(name))(getattr(found, function))
    return typer.main.get_group(parent).commands[name]


EXIT_CODES = (
    f"Exit codes: 0 done, {FreqqError.exit_code} failed, {UserError.exit_code} wrong input, "
    f"{BrokenDevice.exit_code} broken device, {Interrupted.exit_code} stopped."
)
"""Fits a line of 80 columns; examples/cluster.md says after which of them a job is requeued."""

app = typer.Typer(
    name="freqq",
    epilog=EXIT_CODES,
    cls=Commands,
    help="How much of a page image can a vision-language model do without, where, and what does it cost?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="surrogateescape")  # file names need not be UTF-8
    app(prog_name="freqq")
