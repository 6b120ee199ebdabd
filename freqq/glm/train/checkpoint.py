"""Checkpoints of a training: weights and optimizer state in one safetensors file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from freqq.files import write_whole

STATE = ("step", "exp_avg", "exp_avg_sq", "momentum_buffer")
"""State of AdamW and Muon per parameter. AdamW only counts steps in which it had a gradient."""


def store(
    path: Path,
    facts: Mapping[str, str],
    weights: Mapping[str, Tensor],
    parameters: Mapping[str, nn.Parameter],
    optimizers: Sequence[torch.optim.Optimizer],
) -> None:
    """Write a checkpoint atomically.

    Parameters
    ----------
    facts : the file's metadata, such as the step
    weights : tensors by name
    parameters : those that the optimizers train, by name
    """
    tensors = {f"model/{name}": tensor for name, tensor in weights.items()}
    for name, parameter in parameters.items():
        for optimizer in optimizers:
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"{key}/{name}"] = value
    shared: dict[int, str] = {}
    tensors = {
        n: t.detach().clone().contiguous() for n, t in tensors.items() if shared.setdefault(t.data_ptr(), n) == n
    }
    write_whole(path, lambda file: save_file(tensors, file, metadata=dict(facts)))


def restore(
    path: Path, parameters: Mapping[str, nn.Parameter], optimizers: Sequence[torch.optim.Optimizer] = ()
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The facts and weights of a checkpoint; also restores the optimizers' state."""
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        weights = {n.removeprefix("model/"): file.get_tensor(n) for n in names if n.startswith("model/")}
        name_of = {parameter: name for name, parameter in parameters.items()}
        for optimizer in optimizers:
            for parameter in (p for group in optimizer.param_groups for p in group["params"]):
                keys = [key for key in STATE if f"{key}/{name_of[parameter]}" in names]
                if keys:
                    state = {key: file.get_tensor(f"{key}/{name_of[parameter]}") for key in keys}
                    # Optimizers keep the step count on the CPU.
                    optimizer.state[parameter] = {k: t if k == "step" else t.to(parameter) for k, t in state.items()}
        return dict(file.metadata()), weights
