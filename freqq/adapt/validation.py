"""How well an adapted model does on examples that it does not learn from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from math import ceil, floor, isfinite
from statistics import fmean

import torch

from freqq.adapt.student import Student
from freqq.adapt.training_data import Question, TrainingData
from freqq.data.responses import take_apart
from freqq.data.tasks.mrcr import grade
from freqq.glm.reader import Reader
from freqq.tokens.base import TokenCompressor

BATCH = 4
MOST_CHARACTERS = 64
"""An answer may have as many tokens as the right one has characters, and at least so many."""


@dataclass(frozen=True)
class Validation:
    """Means over held-out examples.

    Parameters
    ----------
    held_loss : float
        Cross entropy a token of the answers, over all of them and all levels.
    held_score, held_exact, held_first : float
        Of generated answers: MRCR's score, exact ones, and those whose first character behind the random string is
        right. The loss alone misleads: an answer that went wrong once is never given its right beginning.
    """

    held_loss: float
    held_score: float
    held_exact: float
    held_first: float


NAMES = tuple(field.name for field in fields(Validation))


class Validator:
    """Validates a model on examples that it does not learn from.

    Parameters
    ----------
    compressors : one for each level, None for whole grids; answers are generated at each level in turn
    answers : int
        How many answers are generated, one an example.
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
            If it makes something else than numbers.
        """
        with torch.no_grad(), self.student.at_rest():
            losses = [
                float(self.student(self.examples[at : at + BATCH], compressor)["answer"])
                for compressor in self.compressors
                for at in range(0, len(self.examples), BATCH)
            ]
            marks = [mark for at in range(0, len(self.answered), BATCH) for mark in self._marks(at)]
        score, exact, first = (fmean(values) for values in zip(*marks, strict=True))
        if not isfinite(fmean(losses)):
            raise FloatingPointError("the loss of held-out examples is not finite")
        return Validation(fmean(losses), score, exact, first)

    def fit(self, most: float, clock: Callable[[], float]) -> float:
        """Shorten validation to about `most` seconds of a clock, but to no less than a batch; returns its seconds.

        They are estimated from the time that the first batches take.
        """
        began = clock()
        with torch.no_grad(), self.student.at_rest():
            for compressor in self.compressors:
                self.student(self.examples[:BATCH], compressor)
            scored = clock()
            self._marks(0)
        batches, answers = ceil(len(self.examples) / BATCH), ceil(len(self.answered) / BATCH)
        seconds = (scored - began) * batches + (clock() - scored) * answers
        share = min(1.0, most / max(seconds, 1e-9))
        self.take(*(max(1, floor(share * n)) * BATCH for n in (batches, answers)))
        return seconds * share

    def take(self, examples: int, answers: int) -> None:
        """Validate on the first examples and answers only; more than there are changes nothing."""
        self.examples, self.answered = self.examples[:examples], self.answered[:answers]

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
