"""One question about one long chat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Turn:
    """One message of the chat: who spoke and what was said.

    Parameters
    ----------
    role : str
        ``user``, ``assistant``, or another role of OpenAI's messages (``system``, ``tool``). Empty for text that
        already says who speaks, such as Glyph's ``context`` or a plain text file: it gets no label.
    text : str
        What was said; never a lone surrogate.
    """

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
        How many times the asked request occurs in the chat; 0 for a chat that hides none.
    bin : str
        The context-length bin, one of `freqq.data.bins.BINS`; empty before it is known.
    turns : sequence of Turn
        Everything before the question.
    question : str
        The last user message; it is never rendered.
    answer : str
        What a perfect reader answers, `prefix` included.
    prefix : str
        The random string that a graded response has to start with.
    style : mapping
        Page style overrides that belong to this sample, with the keys of `freqq.pages.style.Style`.
    config : mapping, optional
        Glyph's rendering configuration of this sample, with the keys of its ``config.json``; they override those of
        the configuration that the whole data set is rendered with.
    images : tuple of Path
        Pages that were rendered before. If there are any, nothing is rendered.
    bin_source : str
        Where `bin` comes from: ``o200k`` (counted), ``estimate`` (see `freqq.data.bins`) or ``file`` (as stated
        there).
    references : tuple of str
        What a right answer holds: all of them or any of them, as the task says. Empty if `answer` is the only one.
    classes : tuple of str
        Of a question that asks for a class, the names of all classes.
    subtask : str
        Which part of the task or which data set of a suite it belongs to; empty if there are none.
    """

    id: str
    needles: int = 0
    bin: str = ""
    turns: Sequence[Turn] = ()
    question: str = ""
    answer: str = ""
    prefix: str = ""
    style: Mapping[str, float | str | bool] = field(default_factory=dict)
    config: Mapping[str, object] | None = None
    images: tuple[Path, ...] = ()
    bin_source: str = ""
    references: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    subtask: str = ""


def context(sample: Sample) -> str:
    """The chat as one text: ``User: ...``, a line break, ``Assistant: ...``, as Glyph's renderer is given it.

    The labels are those of the sample's `style` where it has any. A turn without a role, such as Glyph's own
    ``context``, comes out as it is.
    """
    labels = {
        "user": str(sample.style.get("user_label", "User: ")),
        "assistant": str(sample.style.get("assistant_label", "Assistant: ")),
        "": "",
    }
    return "\n".join(labels.get(t.role, f"{t.role.capitalize()}: ") + t.text for t in sample.turns)
