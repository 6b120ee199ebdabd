"""Attention by torch's SDPA whose masks grow with a prompt, not with its square.

transformers makes a mask of all queries by all keys wherever prompts of unequal length are read together. Here it says
only which keys are padding, and a block of queries at a time gets its mask, against all keys: cut to those before them,
the results would differ in their last digits. Without padding a prompt that is read whole needs no mask.

On a CPU, torch's kernel multiplies the one query of a step in bfloat16 by MKL's product of a matrix and a vector, which
has no fast code for some processors (AMD's among them): half of a token's time goes there. Products of matrices do the
same several times as fast.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import causal_mask_function, flash_attention_mask, sdpa_mask

NAME = "sdpa_by_rows"
"""Its name in transformers; to users it is ``sdpa``."""

ROWS = 768
"""Queries of a block, at least. torch's kernel for CPUs takes 256 queries at a time if there are so many or more, so
that a block's products of matrices are those of the whole prompt, to the last digit."""


def blocks(tokens: int) -> list[tuple[int, int]]:
    """Where each block of so many queries starts and ends; the last takes what is left over."""
    return list(pairwise([*range(0, tokens, ROWS)[: max(tokens // ROWS, 1)], tokens]))


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, Tensor | None]:
    """Attention [B, T, H, D] of queries [B, H, T, D] to keys and values [B, G, K, D], of which H / G queries share one.

    The queries are the last T of K tokens.

    attention_mask : bool [B, K] or [B, 1, T, K], optional
        Which keys are no padding, or where a query may look. None: at all keys up to its own, or, if ``module`` is not
        causal, at all.
    """
    mask, tokens = attention_mask, query.shape[2]
    if tokens > 1 and (tokens < key.shape[2] if mask is None else mask.ndim == 2):
        return _by_rows(query, key, value, mask, **options), None
    if mask is not None and mask.ndim == 2:
        mask = mask[:, None, None]
    if tokens == 1 and query.dtype == torch.bfloat16 and query.device.type == "cpu":
        return _one(query, key, value, mask, options.get("scaling")), None
    result: tuple[Tensor, Tensor | None] = sdpa_attention_forward(module, query, key, value, mask, **options)
    return result


def _by_rows(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    unpadded: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> Tensor:
    """Causal attention by blocks of queries."""
    key, value = (repeat_kv(tensor, query.shape[1] // key.shape[1]) for tensor in (key, value))
    columns, tokens = torch.arange(key.shape[2], device=key.device), query.shape[2]
    parts = []
    for start, end in blocks(tokens):
        mask = columns <= columns[-tokens:][start:end, None]
        if unpadded is not None:
            mask = mask & unpadded[:, None, None]
        part = scaled_dot_product_attention(query[:, :, start:end], key, value, mask, dropout, scale=scaling)
        parts.append(part.transpose(1, 2))
    return torch.cat(parts, 1)


def _one(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None) -> Tensor:
    """Attention of one query a sample, by products of matrices."""
    batch, heads, _, size = query.shape
    scores = query.view(batch, key.shape[1], -1, size) @ key.transpose(-1, -2) * (scaling or size**-0.5)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = torch.softmax(scores, -1, dtype=torch.float32).to(value.dtype)
    return (weights @ value).view(batch, 1, heads, size)


def padding_mask(mask_function: Callable[..., Any] = causal_mask_function, **given: Any) -> Tensor | None:
    """The mask for `attend`, with transformers' arguments: of causal attention [B, K], None if nothing is padding."""
    make = flash_attention_mask if mask_function is causal_mask_function else sdpa_mask
    made: Tensor | None = make(mask_function=mask_function, **given)
    return made


def register() -> str:
    """Register `attend` with transformers; returns its name there."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, padding_mask)
    return NAME
