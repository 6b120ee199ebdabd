"""Logits processors for sampling, independent of the batch.

Those of transformers depend on the batch: its penalty also applies to the padding token, which is an end token here,
and its sampler uses one random stream for all samples.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor, TopKLogitsWarper

from freqq.glm.decoding import Generation
from freqq.glm.sequence import Prompt


def processors(generation: Generation, prompts: Sequence[Prompt]) -> list[LogitsProcessor]:
    """The processors for decoding parameters; none for greedy decoding."""
    found: list[LogitsProcessor] = []
    if generation.repetition_penalty != 1.0:
        found.append(RepetitionPenalty(generation.repetition_penalty, prompts))
    if generation.temperature > 0:
        if generation.top_k is not None:
            found.append(TopKLogitsWarper(generation.top_k))
        found.append(Draw(generation.temperature, prompts))
    return found


class RepetitionPenalty(LogitsProcessor):
    """Reduces the logits of tokens in the whole prompt (dropped ones included) or in the response so far."""

    def __init__(self, penalty: float, prompts: Sequence[Prompt]) -> None:
        self.penalty = penalty
        self._prompts = [torch.unique(prompt.input_ids) for prompt in prompts]
        self._seen: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Apply the penalty to logits [B, V]; called once per token."""
        if self._seen is None:
            self._seen = torch.zeros_like(scores, dtype=torch.bool)
            for row, ids in zip(self._seen, self._prompts, strict=True):
                row[ids.to(row.device)] = True
        else:
            self._seen.scatter_(1, input_ids[:, -1:], True)
        return torch.where(self._seen, torch.where(scores > 0, scores / self.penalty, scores * self.penalty), scores)


class Draw(LogitsProcessor):
    """Samples from softmax(logits / temperature) by adding Gumbel noise, so that the largest logit is a sample.

    Each prompt has its own random stream, seeded by its tokens, so that samples depend neither on the batch nor on the
    run.
    """

    def __init__(self, temperature: float, prompts: Sequence[Prompt]) -> None:
        self.temperature = temperature
        self._streams = [torch.Generator().manual_seed(_seed(prompt)) for prompt in prompts]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Logits [B, V] divided by the temperature, with noise."""
        uniform = torch.stack([torch.rand(scores.shape[1], generator=stream) for stream in self._streams])
        noise = -torch.log(-torch.log(uniform.clamp(min=torch.finfo(torch.float32).tiny)))
        return scores.float() / self.temperature + noise.to(scores.device)


def _seed(prompt: Prompt) -> int:
    digest = hashlib.sha256(prompt.input_ids.cpu().numpy().tobytes()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
