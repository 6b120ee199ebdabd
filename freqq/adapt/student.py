"""The model in training: pages through the frozen tower, the merger, the compressor, the language model, to a loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutputWithPooling

from freqq.adapt.lessons import Lesson
from freqq.adapt.packing import IGNORED, Packed, Packer, attention, batch
from freqq.glm.adapter import Adapter
from freqq.glm.processor import patches
from freqq.glm.reader import as_grid
from freqq.tokens.base import TokenCompressor
from freqq.tokens.grid import CompressedGrid, whole
from freqq.tokens.learnable import learnable


@dataclass(frozen=True)
class Seen:
    """Pages of a batch of lessons behind the frozen part of the vision tower.

    Parameters
    ----------
    states : [n, C], all pages' states before the merger
    shapes : (h, w) in merged tokens of each page
    """

    states: Tensor
    shapes: tuple[tuple[int, int], ...]


class Student(nn.Module):
    """Turns lessons into a loss.

    Parameters
    ----------
    adapter : Adapter
        Its reader's model is what learns.
    distill : float in [0, 1]
        Share of the loss that is the divergence from the base model's own predictions on the uncompressed pages
        (Hinton, Vinyals, Dean, arXiv:1503.02531, at temperature 1); the rest is the cross entropy of the answers.
    first_weight : float
        See `Packer`.
    """

    def __init__(self, adapter: Adapter, distill: float = 0.0, first_weight: float = 1.0) -> None:
        super().__init__()
        self.net = adapter.peft
        self.adapter, self.distill = adapter, distill
        reader = adapter.reader
        self._model: Any = reader.model
        self._processor = reader.image_processor
        self._packer = Packer(reader.model, reader.tokenizer, first_weight)

    def forward(self, lessons: Sequence[Lesson], compressor: TokenCompressor | None) -> dict[str, Tensor]:
        """The loss and what it is made of; each a scalar, those but ``loss`` without gradient.

        ``answer`` and ``distill`` are losses a token; ``token`` and ``first`` the shares of right tokens, and of right
        ones behind the answer's random string; ``whole`` that of answers without an error. All of them are those of
        tokens whose predecessors are given, which a generated answer's are not.

        Raises
        ------
        FloatingPointError
            If the merger makes something else than numbers.
        """
        seen = self.see(lessons)
        grids = self.merged(seen)
        if not all(bool(torch.isfinite(grid.detach()).all()) for grid in grids):
            raise FloatingPointError("the merger's tokens are not finite")
        pages = [learnable(compressor, grid) if compressor else whole(grid) for grid in grids]
        packed = self.pack(lessons, pages)
        logits = self.logits(packed, pages)
        told = packed.labels != IGNORED
        labels, weights = packed.labels[told], packed.weights[told]
        each = F.cross_entropy(logits, labels, reduction="none")
        answer = (each * weights).sum() / weights.sum()
        values = {"answer": answer.detach()}
        loss = answer
        if self.distill:
            away = self._away(lessons, seen, compressor, logits)
            divergence = (away * weights).sum() / weights.sum()
            loss = (1 - self.distill) * answer + self.distill * divergence
            values["distill"] = divergence.detach()
        return {"loss": loss, **values, **_accuracies(logits.detach(), packed, told, labels)}

    def ids(self, text: str) -> list[int]:
        """The tokens of a text."""
        return self._packer.tokens(text)

    def see(self, lessons: Sequence[Lesson]) -> Seen:
        """The frozen tower; no gradient."""
        pages = [page for lesson in lessons for page in lesson.pages]
        pixels, grid = patches(pages, self._processor)
        visual = self._model.model.visual
        with torch.no_grad():
            states = visual(pixels.to(visual.device, visual.dtype), grid_thw=grid.to(visual.device)).last_hidden_state
        size = self._processor.merge_size
        return Seen(states, tuple((h // size, w // size) for _, h, w in grid.tolist()))

    def merged(self, seen: Seen) -> list[Tensor]:
        """A grid [h, w, C] for each page."""
        tokens = self._model.model.visual.merger(seen.states)
        sizes = [h * w for h, w in seen.shapes]
        return [as_grid(part, *shape) for part, shape in zip(tokens.split(sizes), seen.shapes, strict=True)]

    def pack(self, lessons: Sequence[Lesson], pages: Sequence[CompressedGrid]) -> Packed:
        """The batch's sequences, on the model's device."""
        following = iter(pages)
        sequences = [self._packer.pack(lesson, [next(following) for _ in lesson.pages]) for lesson in lessons]
        return batch(sequences, self._model.generation_config.pad_token_id or 0).to(self._model.device)

    def logits(self, packed: Packed, pages: Sequence[CompressedGrid]) -> Tensor:
        """Float32 logits [t, vocabulary] of the columns that have labels, row after row."""
        features = tuple(page.features.to(self._model.device) for page in pages)
        hidden = self._model.model(
            input_ids=packed.input_ids,
            attention_mask=attention(packed.block),
            position_ids=packed.position_ids,
            mm_encoder_outputs={"image": BaseModelOutputWithPooling(pooler_output=features)},  # type: ignore[arg-type]
            use_cache=False,
        ).last_hidden_state
        return self._model.lm_head(hidden[packed.labels != IGNORED]).float()

    def _away(
        self, lessons: Sequence[Lesson], seen: Seen, compressor: TokenCompressor | None, logits: Tensor
    ) -> Tensor:
        """For each token the divergence from what the base model says of it with all pages whole."""
        with torch.no_grad(), self.adapter.off():
            pages = [whole(grid) for grid in self.merged(seen)]
            truth = self.logits(self.pack(lessons, pages), pages).log_softmax(-1)
        return F.kl_div(logits.log_softmax(-1), truth, reduction="none", log_target=True).sum(-1)


def _accuracies(logits: Tensor, packed: Packed, told: Tensor, labels: Tensor) -> dict[str, Tensor]:
    right = logits.argmax(-1) == labels
    asked = torch.arange(len(told), device=told.device)[:, None] * (int(packed.block.max()) + 1) + packed.block
    _, question = asked[told].unique_consecutive(return_inverse=True)
    wrong = torch.zeros(int(question.max()) + 1, device=labels.device).index_add(0, question, (~right).float())
    return {"token": right.float().mean(), "whole": (wrong == 0).float().mean()}
