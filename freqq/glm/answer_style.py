"""The form of a model's answers, as far as its chat template and tokenizer show it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from freqq.data.responses import FRAMES, THINK, THOUGHT

ANSWER, BOX = (opening for opening, _ in FRAMES)


@dataclass(frozen=True)
class AnswerStyle:
    """The form of a model's answers.

    Parameters
    ----------
    thinks : bool
        It writes its reasoning before the answer.
    opened : bool
        The chat template opens the reasoning, so that responses only contain its end.
    switch : bool
        The template can turn reasoning off, which freqq does not do.
    tags, boxes : bool
        It knows the tags ``<answer>`` or of boxes, and may enclose its answer in them.
    """

    thinks: bool = False
    opened: bool = False
    switch: bool = False
    tags: bool = False
    boxes: bool = False

    def __str__(self) -> str:
        begun = " (the prompt begins them)" if self.opened else ""
        first = f"thoughts first{begun}, then the answer" if self.thinks else "the answer alone"
        marks = [name for name, has in (("<answer>", self.tags), ("a box", self.boxes)) if has]
        return first + (f", maybe in {' or '.join(marks)}" if marks else "")


def answer_style(template: str, prompt: str, tokens: Collection[str]) -> AnswerStyle:
    """The form of a model's answers.

    Parameters
    ----------
    template : str
        The chat template (Jinja).
    prompt : str
        A question rendered by the template, up to the beginning of the answer.
    tokens : collection of str
        The tokenizer's added tokens.
    """
    end = prompt.rstrip()
    opened = end.endswith(THINK)
    # If the template closes the reasoning itself, the model writes none.
    thinks = opened or (not end.endswith(THOUGHT) and (THOUGHT in tokens or THOUGHT in template))
    return AnswerStyle(
        thinks=thinks,
        opened=opened,
        switch="enable_thinking" in template,
        tags=ANSWER in tokens or ANSWER in template,
        boxes=BOX in tokens or BOX in template,
    )


def style_of(tokenizer: Any) -> AnswerStyle:
    """The form of answers to a question about a page, for the model of a tokenizer."""
    content = [{"type": "image"}, {"type": "text", "text": "?"}]
    chat = [{"role": "user", "content": content}]
    prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    return answer_style(tokenizer.get_chat_template(), prompt, tokenizer.get_added_vocab())
