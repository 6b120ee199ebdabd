"""The task `mrcr`: find one of several equal requests, and repeat its answer after a random string."""

from difflib import SequenceMatcher

from freqq.data.sample import Sample
from freqq.data.tasks.base import Marks, Task


def grade(response: str, answer: str, prefix: str) -> Marks:
    """Grade as in the data card of `openai/mrcr`: `SequenceMatcher(None, response, answer)`, nothing stripped.

    The order matters: the ratio is not symmetric, and from 200 characters on difflib's junk heuristic considers the
    second text only. Copying a wrong answer of an easy data set already scores about .3, so the score alone misleads;
    `exact` requires equality, character for character.
    """
    if not response.startswith(prefix):
        return Marks(0.0, False)
    body, wanted = response.removeprefix(prefix), answer.removeprefix(prefix)
    score = SequenceMatcher(None, body, wanted).ratio()
    return Marks(float(score), body == wanted, True, body[:1] == wanted[:1])


def glyph_grade(response: str, answer: str, prefix: str) -> Marks:
    """Grade as Glyph's scripts: `grade` after removing every ``<|user|>`` behind the prefix."""
    if not response.startswith(prefix):
        return Marks(0.0, False)
    return grade(prefix + response.removeprefix(prefix).replace("<|user|>", ""), answer, prefix)


def marks(sample: Sample, response: str) -> Marks:
    """`grade` for a sample."""
    return grade(response, sample.answer, sample.prefix)


MRCR = Task(
    name="mrcr",
    summary="find the n-th of several equal requests and repeat its answer behind a random string",
    score="MRCR score",
    formats=("mini", "mini-glyph", "mrcr", "glyph"),
    grade=marks,
)
