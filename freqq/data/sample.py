"""One question about one long chat."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Turn:
    """One message of the chat: who spoke (``user`` or ``assistant``) and what was said."""

    role: str
    text: str


@dataclass(frozen=True)
class Sample:
    """An MRCR-shaped sample: the chat that is rendered to pages, the question that stays text, and its answer.

    Parameters
    ----------
    id : str
        Unique within the data set; half of a row's key.
    needles : int
        How many times the asked request occurs in the chat.
    bin : str
        The context-length bin, such as ``0k_8k``.
    turns : tuple of Turn
        Everything before the question.
    question : str
        The last user message; it is never rendered.
    answer : str
        What a perfect reader answers, `prefix` included.
    prefix : str
        The random string that a graded response has to start with.
    style : mapping
        Page style overrides that belong to this sample, with the keys of `freqq.pages.Style` (Glyph's files carry
        such a per-item configuration, too).
    """

    id: str
    needles: int
    bin: str
    turns: tuple[Turn, ...]
    question: str
    answer: str
    prefix: str
    style: Mapping[str, float | str | bool] = field(default_factory=dict)
