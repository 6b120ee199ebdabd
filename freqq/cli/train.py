"""``freqq train``: train an embedded model from scratch."""

from pathlib import Path
from typing import Annotated, Any

from freqq.cli.command import argument, option

MODELS = ("tiny", "small")
SHOWN = ("loss", "reads", "token", "whole", "right", "aloud_token", "reads_72", "reads_96", "reads_120", "reads_144")
"""The reported values that are shown beside the progress."""


def train(
    out: Annotated[Path, option("--out", "DIR", "Folder for checkpoints, log.jsonl and the finished model/.")],
    model: Annotated[
        str,
        argument("tiny|small", "tiny: the embedded model. small: a reader of Glyph's look at 72 to 144 dpi.", MODELS),
    ] = "tiny",
    vision_steps: Annotated[
        int | None, option("--vision-steps", "N", "Steps of stage 1, reading; by default the recipe's.", min=1)
    ] = None,
    language_steps: Annotated[
        int | None,
        option(
            "--language-steps", "N", "Steps of stage 2: finding and copying (tiny) or reading aloud (small).", min=1
        ),
    ] = None,
    question_steps: Annotated[
        int | None, option("--question-steps", "N", "Steps of stage 3 of small: answering questions.", min=1)
    ] = None,
    seed: Annotated[int, option("--seed", "S", "Seed of initial weights and batches.")] = 0,
    threads: Annotated[
        int, option("--threads", "N", "CPU threads; the last digits of results depend on it.", min=1)
    ] = 1,
    processes: Annotated[
        int,
        option(
            "--processes",
            "N",
            "Of small: 2 compute both batches of a step of stage 3 at once, with the same result.",
            min=1,
        ),
    ] = 1,
) -> None:
    """Train a small GLM-4V from scratch on two CPU cores; run it again to resume from the last checkpoint.

    Example: freqq train --out my-model && freqq eval --model my-model/model --needle 2

    Example: freqq train small --out reader
    """
    from freqq.errors import UserError
    from freqq.names import unknown

    if model not in MODELS:
        raise unknown("model to train", model, MODELS)
    if model == "tiny" and question_steps is not None:
        raise UserError("--question-steps is for small: tiny has two stages")
    if model == "tiny" and processes > 1:
        raise UserError("--processes is for small: a step of tiny is one batch")
    if processes > 1 and threads > 1:
        raise UserError("--processes and --threads: give one of them, for a process that is forked has one thread")
    import torch
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from freqq.files import check_writable

    check_writable(out)
    torch.set_num_threads(threads)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    values_column = TextColumn("{task.fields[values]}")
    with Progress(*columns, values_column, console=console, disable=not console.is_terminal) as bar:
        tasks: dict[str, object] = {}

        def report(stage: str, step: int, steps: int, values: dict[str, float]) -> None:
            shown = " ".join(f"{k} {values[k]:.3f}" for k in SHOWN if k in values)
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=steps, values=shown)
            bar.update(tasks[stage], completed=step, values=shown)  # type: ignore[arg-type]
            if not console.is_terminal:
                print(f"{stage} {step}/{steps} {shown}", flush=True)

        given = {"vision_steps": vision_steps, "language_steps": language_steps, "question_steps": question_steps}
        steps: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if model == "tiny":
            from freqq.glm.train.train import Training
            from freqq.glm.train.train import train as run

            folder = run(Training(**steps, seed=seed), out, report)
        else:
            from freqq.glm.train.small.train import Training as SmallTraining
            from freqq.glm.train.small.train import train as run_small

            folder = run_small(SmallTraining(**steps, seed=seed), out, report, processes)
    print(f"model written to {folder}")
