"""Optimizers of a training, and the float32 masters of what a model keeps in fewer bits.

An update is often smaller than half the distance between two bfloat16 numbers (1/256 of a weight), and would be
rounded away. So what is trained is float32, whatever the base is. LoRA's factors are so in the model itself: peft's
layers widen their input and narrow what they add to the base's output. The merger stays in the model's number format,
for it runs outside of training as well, and has masters: gradients are added up and applied there, and its own weights
are those of the masters, rounded. Of a float32 model the masters are its own weights.
"""

from collections.abc import Mapping

import torch
from torch import nn

from freqq.adapt.settings import Adaptation

Parameters = Mapping[str, nn.Parameter]


def masters(parameters: Parameters) -> dict[str, nn.Parameter]:
    """By the same names, what the optimizers change: the parameters themselves, or float32 copies of narrower ones."""
    return {
        name: parameter if parameter.dtype == torch.float32 else nn.Parameter(parameter.detach().float())
        for name, parameter in parameters.items()
    }


def take_gradients(parameters: Parameters, own: Parameters) -> None:
    """Add the gradients of a backward pass to those of the masters, in float32."""
    for name, master in own.items():
        parameter = parameters[name]
        if parameter is not master and parameter.grad is not None:
            wide = parameter.grad.float()
            master.grad = wide if master.grad is None else master.grad + wide
            parameter.grad = None


def round_to(parameters: Parameters, own: Parameters) -> None:
    """Let parameters be their masters, rounded."""
    with torch.no_grad():
        for name, master in own.items():
            if parameters[name] is not master:
                parameters[name].copy_(master)


def optimizers(adaptation: Adaptation, parameters: Parameters) -> list[torch.optim.Optimizer]:
    """Muon for the merger's matrices, AdamW for LoRA and the rest; both without weight decay.

    K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
    """
    matrices = [p for name, p in parameters.items() if p.ndim == 2 and ".lora_" not in name]
    rest = [p for name, p in parameters.items() if p.ndim != 2 or ".lora_" in name]
    both: list[torch.optim.Optimizer] = []
    if rest:
        both.append(torch.optim.AdamW(rest, lr=adaptation.rate, betas=(0.9, 0.98), weight_decay=0.0))
    if matrices:
        muon = {"momentum": 0.95, "adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.0}
        both.append(torch.optim.Muon(matrices, lr=adaptation.merger_rate, **muon))  # type: ignore[arg-type]
    return both
