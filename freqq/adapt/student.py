"""The model in training: from pages through tower, merger, compressor and language model to a loss."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutputWithPooling

from freqq.adapt.compressors import learnable
from freqq.adapt.packing import IGNORED, Packed, Packer
from freqq.adapt.training_data import Example
from freqq.glm.adapter import Adapter
from freqq.glm.device_errors import is_out_of_memory
from freqq.glm.families.base import as_grid, patches
from freqq.glm.sequence import packs
from freqq.tokens.base import TokenCompressor
from freqq.tokens.grid import CompressedGrid, whole

MOST_PATCHES = 1 << 15
"""Of a pass of the tower, 13 of Glyph's pages, unless a single page has more."""


@dataclass(frozen=True)
class Seen:
    """Pages of a batch of examples after the frozen part of the vision tower.

    Parameters
    ----------
    states : [n, C], all pages' states before the merger
    shapes : (h, w) in merged tokens of each page
    """

    states: Tensor
    shapes: tuple[tuple[int, int], ...]


class Student(nn.Module):
    """Computes the loss of examples.

    Parameters
    ----------
    adapter : Adapter
        Its reader's model is trained.
    distill : float in [0, 1]
        Weight of the divergence from the base model's predictions on the uncompressed pages (Hinton, Vinyals, Dean,
        arXiv:1503.02531, at temperature 1); the rest of the loss is the cross entropy of the answers.
    first_weight : float
        See `Packer`.
    recompute : bool
        Store only the inputs of layers and recompute the rest (gradient checkpointing).

    Attributes
    ----------
    note : callable
        Called with a line if memory ran out and batches are split.
    pages_at_once : int or None
        The fewest pages that the tower was given at once, if memory ran out; to be set to None before a step.
    """

    def __init__(
        self, adapter: Adapter, distill: float = 0.0, first_weight: float = 1.0, recompute: bool = False
    ) -> None:
        super().__init__()
        self.net = adapter.peft
        self.adapter, self.distill, self.recompute = adapter, distill, recompute
        self.note: Callable[[str], None] = lambda text: None
        self.pages_at_once: int | None = None
        reader = adapter.reader
        self._model: Any = reader.model
        self._processor = reader.image_processor
        self._packer = Packer(reader.model, reader.tokenizer, first_weight)
        if self._model.device.type == "cpu":
            # A step takes three quarters of the time with torch's fused attention.
            self._model.set_attn_implementation("eager")
        if recompute:
            self._model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            self._train(True)

    def forward(self, examples: Sequence[Example], compressor: TokenCompressor | None) -> dict[str, Tensor]:
        """The loss and its parts, all scalars; only ``loss`` has a gradient.

        ``answer`` and ``distill`` are losses per token; ``token`` is the share of correct tokens, ``whole`` that of
        answers without an error. All are computed with teacher forcing, unlike generated answers.

        Raises
        ------
        FloatingPointError
            If the merger's output is not finite.
        """
        seen = self.see(examples)
        grids = self.merged(seen)
        if not all(bool(torch.isfinite(grid.detach()).all()) for grid in grids):
            raise FloatingPointError("the merger's tokens are not finite")
        pages = by_example(examples, [learnable(compressor, g) if compressor else whole(g) for g in grids])
        packed = self._packer.pack(examples, pages)
        logits = self.logits(packed, pages)
        labelled = packed.labels != IGNORED
        labels, weights = packed.labels[labelled].to(logits.device), packed.weights[labelled].to(logits.device)
        answer = (F.cross_entropy(logits, labels, reduction="none") * weights).sum() / weights.sum()
        values = {"answer": answer.detach()}
        loss = answer
        if self.distill:
            divergence = (self._divergences(examples, seen, logits) * weights).sum() / weights.sum()
            loss = (1 - self.distill) * answer + self.distill * divergence
            values["distill"] = divergence.detach()
        right = logits.detach().argmax(-1) == labels
        question = torch.nonzero(labelled)[:, 0].to(logits.device)
        wrong = torch.zeros(len(labelled), device=logits.device).index_add(0, question, (~right).float())
        return {"loss": loss, **values, "token": right.float().mean(), "whole": (wrong == 0).float().mean()}

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Within this context layers use a cache, as generation needs."""
        self._train(False)
        try:
            yield
        finally:
            self._train(self.recompute)

    def _train(self, training: bool) -> None:
        """Set the layers' training mode, which only affects gradient checkpointing: these models have no dropout."""
        self._model.model.language_model.train(training)

    def weight(self, examples: Sequence[Example]) -> float:
        """How much the tokens of the answers count together; the loss is a mean by these weights."""
        return sum(sum(self._packer.answer(asked)[1]) for one in examples for asked in one.questions)

    def ids(self, text: str) -> list[int]:
        """The tokens of a text."""
        return self._packer.tokens(text)

    def see(self, examples: Sequence[Example]) -> Seen:
        """Run the frozen tower, without gradient, on as many pages at once as have `MOST_PATCHES`.

        If memory runs out, batches of pages are halved, repeatedly.
        """
        pixels, grid = patches([page for example in examples for page in example.pages], self._processor)
        size, counts = self._processor.merge_size, grid.prod(1).tolist()
        shapes = tuple((h // size, w // size) for _, h, w in grid.tolist())
        runs = list(packs(counts, MOST_PATCHES))
        parts = pixels.split([sum(counts[run]) for run in runs])
        states = [self._states(part, grid[run]) for part, run in zip(parts, runs, strict=True)]
        return Seen(states[0] if len(states) == 1 else torch.cat(states), shapes)

    def _states(self, pixels: Tensor, grid: Tensor) -> Tensor:
        """States [n, C] of the patches [n, P] of pages whose sizes are grid [pages, 3]."""
        visual = self._model.model.visual
        try:
            with torch.no_grad():
                seen = visual(pixels.to(visual.device, visual.dtype), grid_thw=grid.to(visual.device))
            states: Tensor = seen.last_hidden_state
            return states
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or len(grid) == 1:
                raise
        # Outside the handler, since the error holds references to tensors.
        gc.collect()
        torch.cuda.empty_cache()
        half = len(grid) // 2
        self.pages_at_once = min(self.pages_at_once or half, half)
        self.note(f"out of memory on {len(grid)} pages at once: they are seen {half} at a time")
        first = int(grid[:half].prod(1).sum())
        return torch.cat([self._states(pixels[:first], grid[:half]), self._states(pixels[first:], grid[half:])])

    def merged(self, seen: Seen) -> list[Tensor]:
        """A grid [h, w, C] for each page."""
        tokens = self._model.model.visual.merger(seen.states)
        sizes = [h * w for h, w in seen.shapes]
        return [as_grid(part, *shape) for part, shape in zip(tokens.split(sizes), seen.shapes, strict=True)]

    def logits(self, packed: Packed, pages: Sequence[Sequence[CompressedGrid]]) -> Tensor:
        """Float32 logits [t, vocabulary] of the columns with labels, in the order of questions."""
        mask = torch.cat([packed.pages.mask[packed.about], packed.questions.mask], 1)
        if self.recompute:
            # Recomputed layers keep no cache: each question is a separate sequence.
            repeated = [pages[i] for i in packed.about.tolist()]
            ids = torch.cat([packed.pages.input_ids[packed.about], packed.questions.input_ids], 1)
            where = torch.cat([packed.pages.position_ids[:, packed.about], packed.questions.position_ids], 2)
            hidden = self._read(ids, mask, where, repeated, use_cache=False).last_hidden_state
            hidden = hidden[:, packed.pages.mask.shape[1] :]
        else:
            shared, questions = packed.pages, packed.questions
            cache = self._read(shared.input_ids, shared.mask, shared.position_ids, pages).past_key_values
            cache.batch_select_indices(packed.about.to(self._model.device))
            read = self._read(questions.input_ids, mask, questions.position_ids, [], past_key_values=cache)
            hidden = read.last_hidden_state
        logits: Tensor = self._model.lm_head(hidden[(packed.labels != IGNORED).to(hidden.device)])
        return logits.float()

    def _read(
        self, ids: Tensor, mask: Tensor, where: Tensor, pages: Sequence[Sequence[CompressedGrid]], **more: Any
    ) -> Any:
        features = tuple(page.features.to(self._model.device) for own in pages for page in own)
        return self._model.model(
            input_ids=ids.to(self._model.device),
            attention_mask=mask.to(self._model.device),
            position_ids=where.to(self._model.device),
            mm_encoder_outputs={"image": BaseModelOutputWithPooling(pooler_output=features)} if features else None,  # type: ignore[arg-type]
            **{"use_cache": True, **more},
        )

    def _divergences(self, examples: Sequence[Example], seen: Seen, logits: Tensor) -> Tensor:
        """For each token the divergence from the base model's prediction on uncompressed pages."""
        with torch.no_grad(), self.adapter.off():
            pages = by_example(examples, [whole(grid) for grid in self.merged(seen)])
            truth = self.logits(self._packer.pack(examples, pages), pages).log_softmax(-1)
        return F.kl_div(logits.log_softmax(-1), truth, reduction="none", log_target=True).sum(-1)


def by_example(examples: Sequence[Example], pages: Sequence[CompressedGrid]) -> list[list[CompressedGrid]]:
    """Group pages by example."""
    following = iter(pages)
    return [[next(following) for _ in example.pages] for example in examples]
