"""Protocols: all that an evaluation fixes beside the data, the pages and the model."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from freqq.data.responses import after_thoughts, take_apart, without_marks
from freqq.data.tasks.base import Marks
from freqq.data.tasks.mrcr import glyph_grade, grade
from freqq.glm.decoding import GLYPH, GREEDY, Generation


@dataclass(frozen=True)
class Protocol:
    """How samples are asked, answered and graded.

    Parameters
    ----------
    before_question : str
        What stands between the pages and the question.
    generation : Generation
        Sampling, stop tokens, and whether special tokens are tokens or text.
    new_tokens : int or None
        The longest response; None: what suits the data.
    compared : callable
        Gives what is compared: of a response and the right answer, what is graded of each.
    grade : callable
        Gives the marks of those two, and the prefix that both have to start with.
    """

    name: str
    before_question: str
    generation: Generation
    new_tokens: int | None
    compared: Callable[[str, str], tuple[str, str]]
    grade: Callable[[str, str, str], Marks]

    def ask(self, question: str) -> str:
        """The text of a request, which follows the pages."""
        return self.before_question + question

    def identity(self) -> dict[str, Any]:
        """All of it that can change a response, but for its length. How it is graded cannot."""
        before = {"before_question": self.before_question} if self.before_question else {}
        return self.generation.identity() | before


def _by_parts(response: str, answer: str) -> tuple[str, str]:
    """The answer within a response. Where something was cut off around it, so was white space, which then counts in
    neither; a response that is the right answer as it is stays so, whatever marks stand in it."""
    said = response if response == answer else take_apart(response).answer
    return said, answer if said == response else answer.strip()


def _by_glyph(response: str, answer: str) -> tuple[str, str]:
    return after_thoughts(response), answer


def _by_glyphs_ruler(response: str, answer: str) -> tuple[str, str]:
    """All of a response, thoughts included, without the token that ends it."""
    return response.removesuffix("<|user|>"), answer


def _by_glyphs_longbench(response: str, answer: str) -> tuple[str, str]:
    return without_marks(response), answer


OFFICIAL = Protocol("official", "", GREEDY, None, _by_parts, grade)
"""The data set's own rule on the answer within the response; greedy."""

GLYPH_PROTOCOL = Protocol("glyph", "\n", GLYPH, 8192, _by_glyph, glyph_grade)
"""The evaluation of Glyph (arXiv:2510.17800) on MRCR as its scripts do it, step by step. They know neither ``<answer>``
nor boxes, so an answer within those scores 0."""

_GLYPHS_SUITES = {
    "ruler": replace(
        GLYPH_PROTOCOL, before_question="", generation=replace(GLYPH, temperature=0.0), compared=_by_glyphs_ruler
    ),
    "longbench": replace(
        GLYPH_PROTOCOL, before_question="", generation=replace(GLYPH, top_k=1), compared=_by_glyphs_longbench
    ),
    "transcribe": replace(GLYPH_PROTOCOL, compared=_by_parts),
}
"""What Glyph does otherwise by task: each of its suites has scripts of its own (``post_api_ruler.py``,
``post_api_longbench.py``, ``clear_pred.py``). None of them transcribes; the token that ends a response is no word."""

PROTOCOLS = {protocol.name: protocol for protocol in (OFFICIAL, GLYPH_PROTOCOL)}
"""By the name that a user types, for MRCR; see `protocol_for`."""


def protocol_for(name: str, task: str) -> Protocol:
    """The protocol of a name of `PROTOCOLS` for a task."""
    return _GLYPHS_SUITES.get(task, GLYPH_PROTOCOL) if name == GLYPH_PROTOCOL.name else PROTOCOLS[name]


OLD_NAMES = {"greedy": "official", "glyph": "glyph"}
"""The protocols by what ``--generation`` called them."""
