"""How well an adapted model does on lessons that it does not learn from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from math import ceil, floor, isfinite
from statistics import fmean

import torch

from freqq.adapt.lessons import Courses, Question
from freqq.adapt.student import Student
from freqq.data.responses import take_apart
from freqq.data.tasks.mrcr import grade
from freqq.glm.reader import Reader
from freqq.tokens.base import TokenCompressor

BATCH = 4
MOST_CHARACTERS = 64
"""An answer may have as many tokens as the right one has characters, and at least so many."""


@dataclass(frozen=True)
class Verdict:
    """Means over held-out lessons.

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


NAMES = tuple(field.name for field in fields(Verdict))


class Judge:
    """Holds the lessons to judge by.

    Parameters
    ----------
    compressors : one for each level, None for whole grids; answers are generated at each level in turn
    answers : int
        How many answers are generated, one a lesson.
    """

    def __init__(
        self,
        student: Student,
        reader: Reader,
        courses: Courses,
        compressors: Sequence[TokenCompressor | None],
        answers: int,
    ) -> None:
        self.student, self.reader, self.compressors = student, reader, compressors
        self.lessons = [courses.held_out(i) for i in range(courses.held_out_size)]
        self.asked = self.lessons[:answers]

    def verdict(self) -> Verdict:
        """Judge the model as it is now.

        Raises
        ------
        FloatingPointError
            If it makes something else than numbers.
        """
        with torch.no_grad(), self.student.at_rest():
            losses = [
                float(self.student(self.lessons[at : at + BATCH], compressor)["answer"])
                for compressor in self.compressors
                for at in range(0, len(self.lessons), BATCH)
            ]
            marks = [mark for at in range(0, len(self.asked), BATCH) for mark in self._marks(at)]
        score, exact, first = (fmean(values) for values in zip(*marks, strict=True))
        if not isfinite(fmean(losses)):
            raise FloatingPointError("the loss of held-out lessons is not finite")
        return Verdict(fmean(losses), score, exact, first)

    def fit(self, most: float, clock: Callable[[], float]) -> float:
        """Hold only as many lessons and answers as `most` seconds of a clock allow, but a batch; what a verdict takes.

        Both are estimated by the first batches, which are looked at for it.
        """
        began = clock()
        with torch.no_grad(), self.student.at_rest():
            for compressor in self.compressors:
                self.student(self.lessons[:BATCH], compressor)
            scored = clock()
            self._marks(0)
        batches, asked = ceil(len(self.lessons) / BATCH), ceil(len(self.asked) / BATCH)
        seconds = (scored - began) * batches + (clock() - scored) * asked
        share = min(1.0, most / max(seconds, 1e-9))
        self.take(*(max(1, floor(share * n)) * BATCH for n in (batches, asked)))
        return seconds * share

    def take(self, lessons: int, answers: int) -> None:
        """Hold only the first lessons and answers, as many as are given or there are."""
        self.lessons, self.asked = self.lessons[:lessons], self.asked[:answers]

    def _marks(self, at: int) -> list[tuple[float, float, float]]:
        lessons = self.asked[at : at + BATCH]
        compressor = self.compressors[at // BATCH % len(self.compressors)]
        grids = self.reader.see_many([lesson.pages for lesson in lessons])
        pages = [[compressor.compress(grid) if compressor else grid for grid in own] for own in grids]
        questions = [lesson.questions[0] for lesson in lessons]
        new_tokens = max(MOST_CHARACTERS, *(len(q.answer) for q in questions))
        answers = self.reader.answer_many([q.text for q in questions], pages, new_tokens)
        return [_mark(answer.text, question) for answer, question in zip(answers, questions, strict=True)]


def _mark(text: str, asked: Question) -> tuple[float, float, float]:
    mark = grade(take_apart(text).answer, asked.answer, asked.prefix)
    return mark.score, float(mark.exact), float(mark.first_char_ok)
