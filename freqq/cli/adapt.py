"""``freqq adapt``: let a model learn to read compressed tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freqq.cli import options as o
from freqq.cli.command import completing
from freqq.names import several, single
from freqq.runs.options import counts, levels, overrides

if TYPE_CHECKING:
    from freqq.adapt.loop import Report

Train = Annotated[
    str,
    typer.Option(
        "--train", metavar="PART", help="merger, lora or both.", autocompletion=completing(("merger", "lora", "both"))
    ),
]


def adapt(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the adapter, its checkpoint and log.")],
    method: o.OneTokenMethod = ["token-lowpass"],  # noqa: B006
    level: o.Level = o.MILD,
    model: o.Model = "tiny",
    revision: o.Revision = None,
    train: Train = "both",
    rank: Annotated[int, typer.Option("--rank", metavar="R", help="Rank of LoRA.")] = 16,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", help="Optimizer steps; this or --minutes is needed.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes", metavar="M", help="In place of --steps: train for so long, loading and validation included."
        ),
    ] = None,
    data: o.Data = "mini",
    skip_bad: o.SkipBad = False,
    needle: o.Needle = None,
    bin: o.Bin = None,
    batch_size: Annotated[int, typer.Option("--batch-size", metavar="B", help="Chats in a forward pass.")] = 4,
    questions: Annotated[int, typer.Option("--questions", metavar="Q", help="Questions about each chat of mini.")] = 6,
    accumulate: Annotated[int, typer.Option("--accumulate", metavar="K", help="Forward passes in a step.")] = 1,
    rate: Annotated[float, typer.Option("--rate", metavar="R", help="Peak learning rate of LoRA.")] = 2e-3,
    merger_rate: Annotated[
        float, typer.Option("--merger-rate", metavar="R", help="Peak learning rate of the merger's matrices.")
    ] = 2e-3,
    distill: Annotated[
        float,
        typer.Option(
            "--distill", metavar="W", help="Weight in [0, 1] of distillation from the base model on uncompressed pages."
        ),
    ] = 0.0,
    learn_codebook: Annotated[
        bool, typer.Option("--learn-codebook", help="Let the codebook of token-vq follow the model (EMA).")
    ] = False,
    first_weight: Annotated[
        float,
        typer.Option(
            "--first-weight", metavar="W", help="Weight of an answer's first character in the loss; others: 1."
        ),
    ] = 3.0,
    keep: o.Keep = None,
    bits: o.Bits = None,
    assignments: o.Set = None,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Seed of initial weights and batches.")] = 0,
    dtype: o.Dtype = "auto",
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Save memory: recompute activations in the backward pass.")
    ] = False,
    judge_every: Annotated[
        int, typer.Option("--judge-every", metavar="N", help="Steps between two validations on held-out chats.", min=1)
    ] = 250,
    patience: Annotated[
        int,
        typer.Option("--patience", metavar="N", help="Stop after N validations without a lower loss; 0: never."),
    ] = 0,
) -> None:
    """Train an adapter (LoRA, the vision merger, or both) with a compressor in the loop; the model's weights stay.

    With several --level, one is drawn for each batch; include baseline to keep the model good at uncompressed
    pages. Run the same command again to resume. Several GPUs: accelerate launch -m freqq adapt ...

    Example: freqq adapt --method token-lowpass --level mild --minutes 5 --out adapter, then
    freqq eval --method token-lowpass --level mild --adapter adapter
    """
    import os

    from freqq.adapt.schedule import process_start

    began = process_start()
    # On a busy machine, threads that wait by spinning take cores from those they wait for: validation took 15 times as
    # long. Must be set before torch is imported; changes no result.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from freqq.adapt.settings import Adaptation
    from freqq.runs.methods import check_names

    name = single("method", method)
    check_names([name])
    adaptation = Adaptation(
        model=model,
        revision=revision,
        method=name,
        levels=levels(level),
        overrides=tuple(sorted(overrides(assignments, keep=keep, bits=bits).items())),
        train=train,
        rank=rank,
        steps=steps or 0,
        minutes=minutes or 0.0,
        data=data,
        needles=counts("needle", needle),
        bins=several("bin", bin or ()),
        batch=batch_size,
        questions=questions,
        accumulate=accumulate,
        rate=rate,
        merger_rate=merger_rate,
        distill=distill,
        learn_codebook=learn_codebook,
        first_weight=first_weight,
        seed=seed,
        dtype=dtype,
        skip_bad=skip_bad,
    )
    from freqq.adapt.adapt import adapt  # imports torch, which takes seconds: only after the options are checked
    from freqq.adapt.loop import Habits
    from freqq.cli.progress import note_skipped
    from freqq.runs.sources import source

    habits = Habits(judge_every, patience, recompute=gradient_checkpointing)
    with _progress() as report:
        folder = adapt(adaptation, out, habits, report, lambda text: typer.echo(text, err=True), began)
    shown = ",".join(adaptation.levels)
    typer.echo(f"adapter written to {folder}: freqq eval --method {adaptation.name} --level {shown} --adapter {folder}")
    note_skipped(source(data, skip_bad=skip_bad).skipped)


@contextmanager
def _progress() -> "Iterator[Report]":
    """A bar on standard error, or lines if that is not a terminal; and a line for each validation."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from freqq.cli.progress import ProgressLines

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    columns = (TextColumn("steps"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    lines = ProgressLines()
    with Progress(
        *columns, TextColumn("{task.fields[shown]}"), console=console, disable=not console.is_terminal, transient=True
    ) as bar:
        task = bar.add_task("steps", total=None, shown="")

        def report(step: int, steps: int, values: dict[str, float]) -> None:
            if "held_loss" in values:
                shown = "  ".join(f"{name.removeprefix('held_')} {value:.3f}" for name, value in values.items())
                console.print(f"step {step} of {steps}, held out: {shown}")
                return
            shown = f"loss {values['loss']:.3f}  right tokens {values['token']:.3f}"
            bar.update(task, completed=step, total=steps, shown=shown)
            if not console.is_terminal and lines.due():
                console.print(f"step {step} of {steps}: {shown}")

        yield report
