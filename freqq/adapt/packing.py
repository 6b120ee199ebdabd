"""Pack examples into sequences: each set of pages is read once and shared by the questions about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from freqq.adapt.training_data import Example, Question
from freqq.glm.generation import end_token_ids
from freqq.glm.processor import ChatWriter
from freqq.glm.sequence import IMAGE, expand, positions
from freqq.tokens.grid import CompressedGrid

IGNORED = -100
"""The label of a column without a prediction."""


@dataclass(frozen=True)
class Columns:
    """Columns of N sequences, padded at the end.

    Parameters
    ----------
    input_ids : int64 [N, n]
    position_ids : [4, N, n], int64, or float32 if a smaller grid is spread over a page
    mask : int64 [N, n]; 0 on padding
    """

    input_ids: Tensor
    position_ids: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Packed:
    """B sets of pages and N questions about them, each with its answer.

    Parameters
    ----------
    pages : Columns [B, P]; everything before the questions
    questions : Columns [N, T]
    about : int64 [N]; the set of pages of each question
    labels : int64 [N, T]; the token to predict, or -100
    weights : float32 [N, T]; weight of each label
    """

    pages: Columns
    questions: Columns
    about: Tensor
    labels: Tensor
    weights: Tensor


class Packer:
    """Packs examples for one model.

    Parameters
    ----------
    model, tokenizer : those of a `freqq.glm.reader.Reader`
    first_weight : float
        Weight of the first token after the answer's random string; others have 1. That token has to find the place to
        copy from and is learned last.
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

    def pack(self, examples: Sequence[Example], pages: Sequence[Sequence[CompressedGrid]]) -> Packed:
        """Pack examples with their compressed pages."""
        shared, texts, about, labels, weights = [], [], [], [], []
        for number, (example, own) in enumerate(zip(examples, pages, strict=True)):
            chats = [self._writer.write(q.text, len(own)) for q in example.questions]
            prompt = expand(chats[0], own, self._image_token_id)
            where = positions(prompt, self._rope_index, self._merge)
            ids = prompt.input_ids[prompt.kept]
            end = int(torch.nonzero(prompt.mm_token_type_ids[prompt.kept] == IMAGE).max()) + 1
            shared.append((ids[:end], where[:, :end]))
            start = len(chats[0]) - (len(ids) - end)
            for chat, question in zip(chats, example.questions, strict=True):
                answer, counts = self.answer(question)
                text = chat[start:] + answer
                # After the pages, each of the four rows of positions increases by 1.
                texts.append((torch.tensor(text), where[:, end : end + 1] + torch.arange(len(text))))
                about.append(number)
                before = len(chat) - start - 1
                labels.append(torch.tensor([IGNORED] * before + answer + [IGNORED]))
                weights.append(torch.tensor([0.0] * before + counts + [0.0]))
        return Packed(
            _columns(shared), _columns(texts), torch.tensor(about), _padded(labels, IGNORED), _padded(weights, 0.0)
        )

    def answer(self, question: Question) -> tuple[list[int], list[float]]:
        """The tokens of an answer with the end token, and their weights."""
        ids = self.tokens(question.answer)
        counts = [1.0] * (len(ids) + 1)
        if len(question.answer) > len(question.prefix):
            counts[min(len(self.tokens(question.prefix)), len(ids) - 1)] = self.first_weight
        return [*ids, self._end], counts

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text, without special tokens."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def _columns(parts: Sequence[tuple[Tensor, Tensor]]) -> Columns:
    """Ids and positions of sequences, padded to the longest."""
    ids = _padded([ids for ids, _ in parts], 0)
    mask = _padded([torch.ones_like(ids) for ids, _ in parts], 0)
    dtype = torch.float32 if any(where.is_floating_point() for _, where in parts) else torch.int64
    return Columns(ids, _padded([where.to(dtype) for _, where in parts], 0).movedim(0, 1), mask)


def _padded(rows: Sequence[Tensor], value: float) -> Tensor:
    longest = max(row.shape[-1] for row in rows)
    return torch.stack([pad(row, (0, longest - row.shape[-1]), value=value) for row in rows])
