"""``freqq adapt``: let a model learn to read compressed tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freqq.cli import options as o
from freqq.cli.command import option, switch
from freqq.names import several, single
from freqq.runs.options import counts, levels, overrides

if TYPE_CHECKING:
    from freqq.adapt.loop import Report

TRAINING = "Training"
"""Title of the group of its own options in the help text."""


def adapt(
    out: Annotated[Path, option("--out", "DIR", "Folder of the adapter, its checkpoint and log.")],
    method: o.OneTokenMethod = ["token-lowpass"],  # noqa: B006
    level: o.Level = o.MILD,
    model: o.Model = "tiny",
    revision: o.Revision = None,
    train: Annotated[
        str, option("--train", "PART", "merger, lora or both.", TRAINING, ("merger", "lora", "both"))
    ] = "both",
    rank: Annotated[int, option("--rank", "R", "Rank of LoRA.", TRAINING)] = 16,
    steps: Annotated[
        int | None, option("--steps", "N", "Optimizer steps; this or --minutes is required.", TRAINING)
    ] = None,
    minutes: Annotated[
        float | None,
        option("--minutes", "M", "Total time of the command, loading and validation included.", TRAINING),
    ] = None,
    data: o.Data = "mini",
    look: o.Look = None,
    skip_bad: o.SkipBad = False,
    needle: o.Needle = None,
    bin: o.Bin = None,
    config: o.Config = None,
    dpi: o.Dpi = None,
    font: o.Font = None,
    batch_size: Annotated[int, option("--batch-size", "B", "Chats in a forward pass.", TRAINING)] = 4,
    questions: Annotated[int, option("--questions", "Q", "Questions about each chat of mini.", TRAINING)] = 6,
    accumulate: Annotated[int, option("--accumulate", "K", "Forward passes in a step.", TRAINING)] = 1,
    rate: Annotated[float, option("--rate", "R", "Peak learning rate of LoRA.", TRAINING)] = 2e-3,
    merger_rate: Annotated[
        float, option("--merger-rate", "R", "Peak learning rate of the merger's matrices.", TRAINING)
    ] = 2e-3,
    distill: Annotated[
        float,
        option("--distill", "W", "Weight (0 to 1) of distillation from the model on uncompressed pages.", TRAINING),
    ] = 0.0,
    learn_codebook: Annotated[
        bool, switch("--learn-codebook", "Train the codebook of token-vq too (moving average).", TRAINING)
    ] = False,
    first_weight: Annotated[
        float, option("--first-weight", "W", "Weight of an answer's first character in the loss; others: 1.", TRAINING)
    ] = 3.0,
    keep: o.Keep = None,
    bits: o.Bits = None,
    assignments: o.Set = None,
    seed: Annotated[int, option("--seed", "S", "Seed of initial weights and batches.", TRAINING)] = 0,
    dtype: o.Dtype = "auto",
    gradient_checkpointing: Annotated[
        bool, switch("--gradient-checkpointing", "Save memory: compute activations again when needed.", TRAINING)
    ] = False,
    judge_every: Annotated[
        int, option("--judge-every", "N", "Steps between validations on held-out chats.", TRAINING, min=1)
    ] = 250,
    patience: Annotated[
        int, option("--patience", "N", "Stop after N validations without a lower loss; 0: never.", TRAINING, min=0)
    ] = 0,
) -> None:
    """Train an adapter (LoRA, the vision merger, or both) with a compressor in the loop; the model's weights stay.

    With several --level, one is drawn for each batch; include baseline if the adapted model is to read uncompressed
    pages as well. Run the same command again to resume. Several GPUs: accelerate launch -m freqq adapt ...

    Example: freqq adapt --method token-lowpass --level mild --minutes 5 --out adapter, then freqq eval --method
    token-lowpass --level mild --adapter adapter
    """
    import os
    import shlex

    from freqq.adapt.schedule import process_start

    began = process_start()
    # On a busy machine, threads that wait by spinning take cores from those they wait for: validation took 15 times as
    # long. Must be set before torch is imported; changes no result.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from freqq.adapt.settings import Adaptation, Habits
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
        look=look,
        config=config,
        font=font,
        dpi=dpi,
    )
    from freqq.adapt.adapt import adapt  # imports torch, which takes seconds: only after the options are checked
    from freqq.cli.progress import note_skipped

    habits = Habits(judge_every, patience, recompute=gradient_checkpointing)
    with _progress() as report:
        folder = adapt(adaptation, out, habits, report, lambda text: typer.echo(text, err=True), began)
    shown = ["--method", adaptation.name, "--level", ",".join(adaptation.levels), "--adapter", str(folder)]
    shown += [] if model == "tiny" else ["--model", model]
    drawn = {"revision": revision, "look": look, "config": config, "font": font, "dpi": dpi}  # as pages it has learned
    shown += [text for name, value in drawn.items() if value is not None for text in (f"--{name}", f"{value}")]
    typer.echo(f"adapter written to {folder}: freqq eval {shlex.join(shown)}")
    note_skipped(adaptation.source.skipped)


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
