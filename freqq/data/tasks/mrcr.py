"""The task `mrcr`: find one of several equal requests, and give its answer behind a random string."""

from dataclasses import dataclass
from difflib import SequenceMatcher

from freqq.data.sample import Sample
from freqq.data.tasks.base import Marks, Task


@dataclass(frozen=True)
class Grade:
    """How good a response is.

    Parameters
    ----------
    score : float in [0, 1]
        MRCR's: 0 without the prefix, else the similarity of what follows it.
    exact : bool
        The response is the answer, character for character. Copying a wrong row of an easy data set already scores
        about .3, so the score alone misleads.
    prefix_ok : bool
        The response starts with the random string.
    first_char_ok : bool
        The first character after the prefix is right.
    """

    score: float
    exact: bool
    prefix_ok: bool
    first_char_ok: bool


def grade(response: str, answer: str, prefix: str) -> Grade:
    """Grade as the data card of `openai/mrcr` does: nothing stripped, `SequenceMatcher(None, response, answer)` so.

    The order matters: the ratio is not symmetric, and from 200 characters on difflib's automatic junk heuristic
    looks at the second text only.
    """
    if not response.startswith(prefix):
        return Grade(0.0, False, False, False)
    body, wanted = response.removeprefix(prefix), answer.removeprefix(prefix)
    score = SequenceMatcher(None, body, wanted).ratio()
    return Grade(float(score), body == wanted, True, body[:1] == wanted[:1])


def glyph_grade(response: str, answer: str, prefix: str) -> Grade:
    """Grade as Glyph's scripts do: as `grade`, with every ``<|user|>`` taken out of what follows the prefix."""
    if not response.startswith(prefix):
        return Grade(0.0, False, False, False)
    return grade(prefix + response.removeprefix(prefix).replace("<|user|>", ""), answer, prefix)


def marks(sample: Sample, said: str) -> Marks:
    """`grade` for a sample."""
    return Marks(**vars(grade(said, sample.answer, sample.prefix)))


MRCR = Task(
    name="mrcr",
    summary="find the n-th of several equal requests and repeat its answer behind a random string",
    score="MRCR score",
    formats=("mini", "mini-glyph", "mrcr", "glyph"),
    grade=marks,
)
