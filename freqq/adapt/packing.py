"""Lessons as sequences: one set of pages, and behind it several questions that do not see each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from freqq.adapt.lessons import Lesson, Question
from freqq.glm.generation import end_token_ids
from freqq.glm.processor import ChatWriter
from freqq.glm.sequence import IMAGE, expand, positions
from freqq.tokens.grid import CompressedGrid

IGNORED = -100
"""The label of a column that predicts nothing."""

PADDING = -1


@dataclass(frozen=True)
class Packed:
    """A sequence of L columns, or a batch of B of them, padded at the end.

    Parameters
    ----------
    input_ids : int64 [L]
    position_ids : [4, L], int64, or float32 if a smaller grid is spread over a page
    block : int64 [L]; 0 for what all questions see, then 1, 2, ... for each question and its answer; -1 is padding
    labels : int64 [L]; the token that a column is to predict, or -100
    weights : float32 [L]; how much that counts
    """

    input_ids: Tensor
    position_ids: Tensor
    block: Tensor
    labels: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> "Packed":
        """The same on a device."""
        return Packed(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


class Packer:
    """Packs lessons for one model.

    Parameters
    ----------
    model, tokenizer : those of a `freqq.glm.reader.Reader`
    first_weight : float
        How much the first token behind the answer's random string counts; all others count 1. It is the one that has to
        find the place to copy from, and what stays wrong longest.
    """

    def __init__(self, model: Any, tokenizer: Any, first_weight: float = 1.0) -> None:
        self.tokenizer = tokenizer
        self.first_weight = first_weight
        self._image_token_id = model.config.image_token_id
        self._merge = model.config.vision_config.spatial_merge_size
        self._rope_index = model.model.get_rope_index
        self._writer = ChatWriter(tokenizer, self._image_token_id)
        ends = end_token_ids(model)
        self._end = tokenizer.eos_token_id if tokenizer.eos_token_id in ends else min(ends)

    def pack(self, lesson: Lesson, pages: Sequence[CompressedGrid]) -> Packed:
        """One lesson, with its pages as a compressor left them."""
        chats = [self._writer.write(q.text, len(pages)) for q in lesson.questions]
        answers = [self._answer(q) for q in lesson.questions]
        prompt = expand(chats[0] + answers[0][0], pages, self._image_token_id)
        where = positions(prompt, self._rope_index, self._merge)
        ids = prompt.input_ids[prompt.kept]
        shared = int(torch.nonzero(prompt.mm_token_type_ids[prompt.kept] == IMAGE).max()) + 1
        start = len(chats[0]) - (len(ids) - shared - len(answers[0][0]))
        parts, places, blocks = [ids[:shared]], [where[:, :shared]], [torch.zeros(shared, dtype=torch.int64)]
        labels, weights = [torch.full((shared,), IGNORED)], [torch.zeros(shared)]
        for number, (chat, (answer, counts)) in enumerate(zip(chats, answers, strict=True), 1):
            text = chat[start:] + answer
            parts.append(torch.tensor(text))
            # Behind the pages all four rows of positions count on from where each of them is.
            places.append(where[:, shared : shared + 1] + torch.arange(len(text)))
            blocks.append(torch.full((len(text),), number))
            before = len(chat) - start - 1
            labels.append(torch.tensor([IGNORED] * before + answer + [IGNORED]))
            weights.append(torch.tensor([0.0] * before + counts + [0.0]))
        return Packed(torch.cat(parts), torch.cat(places, 1), torch.cat(blocks), torch.cat(labels), torch.cat(weights))

    def _answer(self, asked: Question) -> tuple[list[int], list[float]]:
        """The tokens of an answer and its end, and how much each counts."""
        ids = self.tokens(asked.answer)
        counts = [1.0] * (len(ids) + 1)
        if len(asked.answer) > len(asked.prefix):
            counts[min(len(self.tokens(asked.prefix)), len(ids) - 1)] = self.first_weight
        return [*ids, self._end], counts

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text, in which nothing is special."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def batch(sequences: Sequence[Packed], pad_id: int) -> Packed:
    """Sequences [L_i] as one batch: ids, blocks, labels, weights [B, L] and positions [4, B, L]."""
    longest = max(len(s.input_ids) for s in sequences)

    def padded(name: str, value: float) -> Tensor:
        rows = [getattr(s, name) for s in sequences]
        return torch.stack([torch.nn.functional.pad(row, (0, longest - row.shape[-1]), value=value) for row in rows])

    dtype = torch.promote_types(torch.int64, sequences[0].position_ids.dtype)
    for one in sequences:
        dtype = torch.promote_types(dtype, one.position_ids.dtype)
    return Packed(
        padded("input_ids", pad_id),
        padded("position_ids", 0).to(dtype).movedim(0, 1),
        padded("block", PADDING),
        padded("labels", IGNORED),
        padded("weights", 0),
    )


def attention(block: Tensor) -> Tensor:
    """Which columns each one reads, bool [B, 1, L, L]: earlier ones of its own block and of the pages, and itself."""
    own, other = block[:, None, :, None], block[:, None, None, :]
    causal = torch.ones(block.shape[1], block.shape[1], dtype=torch.bool, device=block.device).tril()
    return causal & ((own == other) | (other == 0))
