"""Validate an adapted model on held-out examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from math import ceil, floor, isfinite
from statistics import fmean

import torch

from freqq.adapt.student import Student
from freqq.adapt.training_data import Question, TrainingData
from freqq.data.responses import take_apart
from freqq.data.tasks.mrcr import grade
from freqq.errors import Interrupted
from freqq.glm.reader import Reader
from freqq.tokens.base import TokenCompressor

BATCH = 4
MOST_CHARACTERS = 64
"""Least limit of an answer's tokens, which otherwise is the number of the right answer's characters."""


@dataclass(frozen=True)
class Validation:
    """Means over held-out examples.

    Parameters
    ----------
    held_loss : float
        Cross entropy per token of the answers, at all levels.
    held_score, held_exact, held_first : float
        Of generated answers: MRCR's score, and the shares of exact ones and of those with the right first character
        after the random string. The loss alone misleads, as it uses teacher forcing.
    """

    held_loss: float
    held_score: float
    held_exact: float
    held_first: float


NAMES = tuple(field.name for field in fields(Validation))


class Validator:
    """Validates a model on held-out examples.

    Parameters
    ----------
    compressors : one for each level, None for whole grids; answers are generated at each level in turn
    answers : int
        Number of generated answers, one per example.
    """

    def __init__(
        self,
        student: Student,
        reader: Reader,
        data: TrainingData,
        compressors: Sequence[TokenCompressor | None],
        answers: int,
    ) -> None:
        self.student, self.reader, self.compressors = student, reader, compressors
        self.examples = [data.held_out(i) for i in range(data.held_out_size)]
        self.answered = self.examples[:answers]

    def validate(self) -> Validation:
        """Validate the model as it is now.

        Raises
        ------
        FloatingPointError
            If the loss is not finite.
        Interrupted
            If the reader's `stop_requested` says so, before the next batch or token.
        """
        with torch.no_grad(), self.student.at_rest():
            losses = [
                self._loss(at, compressor)
                for compressor in self.compressors
                for at in range(0, len(self.examples), BATCH)
            ]
            marks = [mark for at in range(0, len(self.answered), BATCH) for mark in self._marks(at)]
        score, exact, first = (fmean(values) for values in zip(*marks, strict=True))
        if not isfinite(fmean(losses)):
            raise FloatingPointError("the loss of held-out examples is not finite")
        return Validation(fmean(losses), score, exact, first)

    def fit(self, most: float, clock: Callable[[], float]) -> float:
        """Shorten validation to about `most` seconds, but at least one batch; returns its expected seconds.

        These are estimated from the time of the first batches.
        """
        began = clock()
        with torch.no_grad(), self.student.at_rest():
            for compressor in self.compressors:
                self._loss(0, compressor)
            scored = clock()
            self._marks(0)
        batches, answers = ceil(len(self.examples) / BATCH), ceil(len(self.answered) / BATCH)
        seconds = (scored - began) * batches + (clock() - scored) * answers
        share = min(1.0, most / max(seconds, 1e-9))
        self.take(*(max(1, floor(share * n)) * BATCH for n in (batches, answers)))
        return seconds * share

    def take(self, examples: int, answers: int) -> None:
        """Validate on the first examples and answers only."""
        self.examples, self.answered = self.examples[:examples], self.answered[:answers]

    def _loss(self, at: int, compressor: TokenCompressor | None) -> float:
        if self.reader.stop_requested():
            raise Interrupted("stopped in a validation")
        return float(self.student(self.examples[at : at + BATCH], compressor)["answer"])

    def _marks(self, at: int) -> list[tuple[float, float, float]]:
        examples = self.answered[at : at + BATCH]
        compressor = self.compressors[at // BATCH % len(self.compressors)]
        grids = self.reader.see_many([example.pages for example in examples])
        pages = [[compressor.compress(grid) if compressor else grid for grid in own] for own in grids]
        questions = [example.questions[0] for example in examples]
        new_tokens = max(MOST_CHARACTERS, *(len(q.answer) for q in questions))
        answers = self.reader.answer_many([q.text for q in questions], pages, new_tokens)
        return [_mark(answer.text, question) for answer, question in zip(answers, questions, strict=True)]


def _mark(text: str, question: Question) -> tuple[float, float, float]:
    mark = grade(take_apart(text).answer, question.answer, question.prefix)
    return mark.score, float(mark.exact), float(mark.first_char_ok)
