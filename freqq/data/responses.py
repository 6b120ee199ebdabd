"""Split a model's response into its reasoning, its answer, and the markup around them.

Released models of the family do not begin with their answer::

    Glyph, GLM-4.1V-9B-Thinking      <think>...</think>\\nANSWER, or <think>...</think><answer>ANSWER</answer>
    GLM-4.5V, GLM-4.6V, 4.6V-Flash   <think>...</think>\\n<|begin_of_box|>ANSWER<|end_of_box|>

and, if special tokens are kept, end with the token of the next role, such as ``<|user|>``. The tags are found in the
text, because tokenizers differ in which of them are special.
"""

import re
from dataclasses import dataclass

THINK, THOUGHT = "<think>", "</think>"
FRAMES = (("<answer>", "</answer>"), ("<|begin_of_box|>", "<|end_of_box|>"))
"""Tags that may enclose an answer, also nested."""

ENDS = ("<|user|>", "<|endoftext|>", "<|observation|>", "<|assistant|>", "<|system|>", "<eop>")
"""Tokens that end a turn or begin the next."""

ANSWERED, EMPTY, ONLY_THOUGHT = "answered", "empty", "only thought"
CUT_THINKING, CUT_ANSWERING = "cut while thinking", "cut while answering"
OUTCOMES = (ANSWERED, CUT_ANSWERING, CUT_THINKING, ONLY_THOUGHT, EMPTY)
"""How a response can end; "cut" means that it reached the limit of new tokens."""

_THINK_TAG = re.compile("</?think>")
_MARK = re.compile(r"<\|[^|]+\|>")
_LEAD = re.compile(r"(?:\s|<\|assistant\|>)*+")
_BLOCK = 256
"""Characters that are searched at a time for trailing white space."""


@dataclass(frozen=True)
class Response:
    """A response's parts: ``before + answer + after`` is the response.

    Parameters
    ----------
    thoughts : str
        The reasoning, without its tags.
    answer : str
        What is graded; may be empty.
    before, after : str
        What was removed: reasoning, tags, end tokens, and adjacent white space. A response without any tags is its own
        answer, white space included.
    outcome : str
        One of `OUTCOMES`.
    unended : bool
        Whether the reasoning was begun but not ended.
    """

    thoughts: str
    answer: str
    before: str
    after: str
    outcome: str
    unended: bool


def take_apart(response: str, limited: bool | None = None) -> Response:
    """Split a response, in time linear in its length.

    The reasoning ends at the last ``</think>``; its ``<think>`` may be missing, because a chat template may have put it
    into the prompt. A ``<think>`` after other text is a mention, not reasoning, and one within the answer ends the
    search. A frame (`FRAMES`) is removed if the answer begins with it. After reasoning or within another frame, it is
    the answer wherever it is, as in "The answer is <|begin_of_box|>4<|end_of_box|>."; the last one counts.

    Parameters
    ----------
    limited : bool, optional
        Whether the response reached the limit of new tokens; None: not known.
    """
    text, start, end = response, 0, len(response)
    thoughts: list[str] = []
    unended = framed = marked = False
    tag = _THINK_TAG.search(text)
    absent: set[str] = set()  # tags not found in the window; it only shrinks, so they need no second search
    while True:
        before = (start, end)
        first, last = _trimmed(text, start, end)
        marked |= bool(text[start:first].strip() or text[last:end].strip())
        start, end = first, last
        while tag is not None and tag.start() < start:
            tag = _THINK_TAG.search(text, start)
        if tag is not None and tag.end() <= end and (tag.start() == start or tag[0] == THOUGHT):
            marked = framed = True
            inner = tag.end() if tag[0] == THINK else start
            thought_end = _thought_end(text, tag.start(), end)
            if thought_end is None:
                thoughts.append(text[inner:end])
                unended, start = True, end
                break
            thoughts.append(text[inner : thought_end - len(THOUGHT)])
            start = thought_end
            continue
        window = _unframed(text, start, end, framed, absent)
        if window is not None:
            framed |= window[0] > start
            marked, (start, end) = True, window
        if (start, end) == before:
            break
    if not marked:
        start, end = 0, len(text)
    answer, thought = text[start:end], "\n".join(thoughts)
    return Response(thought, answer, text[:start], text[end:], _outcome(answer, thought, unended, limited), unended)


def after_thoughts(response: str) -> str:
    """What Glyph's script for MRCR grades: the text after the last ``</think>``, or all of it, stripped."""
    return response.rpartition(THOUGHT)[2].strip()


def without_marks(response: str) -> str:
    """What Glyph's scripts for LongBench grade (``clear_pred.py``): a response on one line, without whole thoughts and
    without anything like ``<|user|>``."""
    kept: list[str] = []
    start = 0
    while (thought := response.find(THINK, start)) >= 0 and (end := response.find(THOUGHT, thought)) >= 0:
        kept.append(response[start:thought])
        start = end + len(THOUGHT)
        while response[start : start + 1].isspace():
            start += 1
    return " ".join(_MARK.sub("", "".join([*kept, response[start:]])).split())


def _outcome(answer: str, thoughts: str, unended: bool, limited: bool | None) -> str:
    if unended:
        return ONLY_THOUGHT if limited is False else CUT_THINKING
    if answer and not answer.isspace():
        return CUT_ANSWERING if limited else ANSWERED
    return ONLY_THOUGHT if thoughts and not thoughts.isspace() else EMPTY


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A window of a text without outer white space, the token of the answering role, and end tokens."""
    found = _LEAD.match(text, start, end)
    start = start if found is None else found.end()
    while start < end:
        block = text[max(start, end - _BLOCK) : end]
        if white := len(block) - len(block.rstrip()):
            end -= white
        elif mark := next((mark for mark in ENDS if text.endswith(mark, start, end)), ""):
            end -= len(mark)
        else:
            break
    return start, end


def _thought_end(text: str, start: int, end: int) -> int | None:
    """Where the reasoning that begins at `start` ends (after its last tag); None if it does not end."""
    depth, found = 0, None
    for tag in _THINK_TAG.finditer(text, start, end):
        if tag[0] == THOUGHT:
            depth, found = max(0, depth - 1), tag.end()
        elif depth == 0 and found is not None and text[found : tag.start()].strip():
            return found  # this tag is part of the answer
        else:
            depth += 1
    if depth and found is not None and not text[found:end].partition(THINK)[0].strip():
        return None  # further reasoning was begun
    return found


def _unframed(text: str, start: int, end: int, framed: bool, absent: set[str]) -> tuple[int, int] | None:
    """The window inside a frame; None if there is no frame to remove."""
    for opening, closing in FRAMES:
        if text.startswith(opening, start, end):
            inner = start + len(opening)
            close = _last(text, closing, inner, end, absent)
            return inner, end if close < 0 else close
    for opening, closing in FRAMES:
        close = _last(text, closing, start, end, absent)
        if close < 0:
            continue
        opened = _last(text, opening, start, close, absent)
        if opened >= 0 and framed:
            return opened + len(opening), close
        if opened < 0 and close + len(closing) == end:
            return start, close  # the opening tag was removed as a special token
    return None


def _last(text: str, mark: str, start: int, end: int, absent: set[str]) -> int:
    """The last position of a mark within a window; -1 if there is none, which `absent` remembers."""
    if mark in absent:
        return -1
    found = text.rfind(mark, start, end)
    if found < 0:
        absent.add(mark)
    return found
