"""One question about one long chat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Turn:
    """One message of the chat.

    Parameters
    ----------
    role : str
        ``user``, ``assistant``, or another role of OpenAI's messages (``system``, ``tool``). Empty for text that
        contains its own labels, such as Glyph's ``context`` or a plain text file.
    text : str
        The content; has no lone surrogates.
    """

    role: str
    text: str


@dataclass(frozen=True)
class Sample:
    """The chat that is rendered to pages, the question that stays text, and its answer.

    Parameters
    ----------
    id : str
        Unique within the data set; half of a row's key.
    needles : int
        How many times the request in question occurs in the chat; 0 for a chat without needles.
    bin : str
        The context-length bin, one of `freqq.data.bins.BINS`; empty if not known yet.
    turns : sequence of Turn
        Everything before the question.
    question : str
        The last user message; it is never rendered.
    answer : str
        The correct answer, `prefix` included.
    prefix : str
        The random string that a graded response has to start with.
    style : mapping
        Page style overrides of this sample, with the keys of `freqq.pages.style.Style`.
    config : mapping, optional
        Rendering options of this sample with the keys of Glyph's ``config.json``; they override the configuration of
        the data set.
    images : tuple of Path
        Pages rendered before. If there are any, nothing is rendered.
    bin_source : str
        Where `bin` comes from: ``o200k`` (counted), ``estimate`` (see `freqq.data.bins`) or ``file`` (stated in the
        data).
    references : tuple of str
        Strings that a correct answer contains: all or any of them, depending on the task. Empty if there is only
        `answer`.
    classes : tuple of str
        All class names, for a question that asks for a class.
    subtask : str
        The sub-task, or the data set of a suite, that it belongs to; may be empty.
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
    """The chat as one text, as Glyph's renderer takes it: ``User: ...``, a line break, ``Assistant: ...``.

    Labels of the sample's `style` take precedence. A turn without a role, such as Glyph's ``context``, gets none.
    """
    labels = {
        "user": str(sample.style.get("user_label", "User: ")),
        "assistant": str(sample.style.get("assistant_label", "Assistant: ")),
        "": "",
    }
    return "\n".join(labels.get(t.role, f"{t.role.capitalize()}: ") + t.text for t in sample.turns)
