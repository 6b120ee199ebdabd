"""The training loop: seeded by step, so that a resumed run goes on as if it had never stopped."""

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Stage:
    """A training stage.

    Parameters
    ----------
    name : str
        Also the checkpoint's name.
    steps : int
        Optimizer steps.
    rate : float
        Peak learning rate.
    decay : int or None
        The last steps, in which the learning rate falls to zero along half a cosine; None: all of them. Before them
        nothing depends on `steps`, so a run that is interrupted there may be resumed with more or fewer.
    """

    name: str
    steps: int
    rate: float
    decay: int | None = None
    warmup: int = 50
    weight_decay: float = 0.02
    clip: float = 1.0
    save_every: int = 200
    report_every: int = 20

    def rate_at(self, step: int) -> float:
        """Learning rate of a step."""
        rise = min(1.0, (step + 1) / self.warmup)
        decay = min(self.decay or self.steps, self.steps)
        fallen = max(0.0, 1 - (self.steps - step) / decay)
        return self.rate * rise * 0.5 * (1 + math.cos(math.pi * fallen))


def parameters(model: nn.Module, scales: dict[str, float]) -> list[dict[str, object]]:
    """Parameter groups by the beginning of a name; the first match in `scales` decides the learning rate's factor.

    Parameters that match nothing are left out, so they stay as they are.
    """
    groups: dict[str, list[nn.Parameter]] = {prefix: [] for prefix in scales}
    for name, parameter in model.named_parameters():
        prefix = next((p for p in scales if name.startswith(p)), None)
        if prefix is not None:
            groups[prefix].append(parameter)
    return [{"params": groups[prefix], "scale": scale} for prefix, scale in scales.items()]


def run(
    stage: Stage,
    model: nn.Module,
    groups: list[dict[str, object]],
    loss_of: Callable[[int], tuple[Tensor, Losses]],
    folder: Path,
    report: Callable[[str, int, int, dict[str, float]], None],
) -> None:
    """Train `model` (the network and the aids' heads) through a stage, from its last checkpoint if there is one.

    Parameters
    ----------
    loss_of : callable
        From a step's number to the loss and named values to report; it must draw all randomness from that number.
    folder : path
        Checkpoints and ``log.jsonl`` go here.
    report : callable
        Gets the stage's name, the step, the number of steps and the mean of the named values since its last call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.AdamW(
        [g for g in groups if g["params"]],
        lr=stage.rate,
        betas=(0.9, 0.97),
        weight_decay=stage.weight_decay,
        fused=True,
    )
    step = restore(folder / f"{stage.name}.safetensors", model, optimizer)
    sums: dict[str, float] = {}
    seen, since = 0, time.perf_counter()
    while step < stage.steps:
        for group in optimizer.param_groups:
            group["lr"] = stage.rate_at(step) * group["scale"]
        loss, values = loss_of(step)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss of step {step} of {stage.name} is not finite")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], stage.clip)
        optimizer.step()
        step += 1
        seen += 1
        for name, value in {**values, "loss": loss, "norm": norm}.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if step % stage.report_every == 0 or step == stage.steps:
            means = {name: total / seen for name, total in sums.items()}
            means["seconds_per_step"] = (time.perf_counter() - since) / seen
            report(stage.name, step, stage.steps, means)
            with (folder / "log.jsonl").open("a") as log:
                log.write(json.dumps({"stage": stage.name, "step": step} | means) + "\n")
            sums, seen, since = {}, 0, time.perf_counter()
        if step % stage.save_every == 0 or step == stage.steps:
            store(folder / f"{stage.name}.safetensors", step, model, optimizer)


def store(path: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write a checkpoint: a temporary name, then a rename, so that a killed run keeps the last whole one."""
    tensors = {f"model/{n}": t for n, t in model.state_dict().items()}
    for name, tensor in _moments(model, optimizer):
        tensors[f"adam/{name}"] = tensor
    shared: dict[int, str] = {}
    tensors = {
        n: t.detach().clone().contiguous() for n, t in tensors.items() if shared.setdefault(t.data_ptr(), n) == n
    }
    temporary = path.with_suffix(".part")
    save_file(tensors, temporary, metadata={"step": str(step)})
    os.replace(temporary, path)


def restore(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> int:
    """Read a checkpoint if it is there; returns its step, or 0."""
    if not path.is_file():
        return 0
    with safe_open(path, framework="pt") as file:
        step = int(file.metadata()["step"])
        names = set(file.keys())
        weights = {n.removeprefix("model/"): file.get_tensor(n) for n in names if n.startswith("model/")}
        model.load_state_dict(weights, strict=False)
        if optimizer is not None:
            for name, parameter in model.named_parameters():
                if f"adam/{name}/exp_avg" in names:
                    optimizer.state[parameter] = {
                        "step": torch.tensor(float(step)),
                        "exp_avg": file.get_tensor(f"adam/{name}/exp_avg"),
                        "exp_avg_sq": file.get_tensor(f"adam/{name}/exp_avg_sq"),
                    }
    return step


def _moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            if key != "step":
                yield f"{name}/{key}", value
