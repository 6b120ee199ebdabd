"""``freqq train``: train the embedded model from nothing."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, log.jsonl and the finished model/.")],
    vision_steps: Annotated[int, typer.Option(min=1, help="Steps of stage 1: learn to read.")] = 2000,
    language_steps: Annotated[int, typer.Option(min=1, help="Steps of stage 2: learn to find and copy.")] = 8400,
    seed: Annotated[int, typer.Option(help="Of the initial weights and of every batch.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; results depend on it in the last digits.")] = 1,
) -> None:
    """Train a small GLM-4V from nothing on two CPU cores; running it again goes on from the last checkpoint.

    Example: freqq train --out my-model && freqq eval --model my-model/model --needle 2
    """
    import torch
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from freqq.files import check_writable
    from freqq.glm.train.train import Training, train

    check_writable(out)
    torch.set_num_threads(threads)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    told = TextColumn("{task.fields[values]}")
    with Progress(*columns, told, console=console, disable=not console.is_terminal) as bar:
        tasks: dict[str, object] = {}

        def report(stage: str, step: int, steps: int, values: dict[str, float]) -> None:
            shown = " ".join(f"{k} {values[k]:.3f}" for k in ("loss", "reads", "token", "whole") if k in values)
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=steps, values=shown)
            bar.update(tasks[stage], completed=step, values=shown)  # type: ignore[arg-type]
            if not console.is_terminal:
                print(f"{stage} {step}/{steps} {shown}", flush=True)

        model = train(Training(vision_steps, language_steps, seed), out, report)
    print(f"model written to {model}")
