"""Attention of decoding in bfloat16 on a CPU.

torch's kernel for CPUs multiplies the one query of a step by MKL's bfloat16 product of a matrix and a vector, which has
no fast code for some processors (AMD's among them): half of a token's time goes there. Products of matrices do the same
several times as fast. Prefill and other number formats keep torch's kernel.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "sdpa_bfloat16_cpu"
"""Its name in transformers; to users it is ``sdpa``."""


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, Tensor | None]:
    """Attention [B, T, H, D] of queries [B, H, T, D] to keys and values [B, G, K, D], of which H / G queries share one.

    attention_mask : bool [B, 1, T, K], optional
        Where a query may look.
    """
    if query.shape[2] != 1:
        result: tuple[Tensor, Tensor | None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **options
        )
        return result
    batch, heads, _, size = query.shape
    scaling = options.get("scaling") or size**-0.5
    scores = query.view(batch, key.shape[1], -1, size) @ key.transpose(-1, -2) * scaling
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, -torch.inf)
    weights = torch.softmax(scores, -1, dtype=torch.float32).to(value.dtype)
    return (weights @ value).view(batch, 1, heads, size), None


def register() -> str:
    """Register `attend` with transformers; returns its name there."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME
