"""How a model answers, as far as its chat template and its tokenizer tell."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from freqq.data.responses import FRAMES, THINK, THOUGHT

ANSWER, BOX = (opening for opening, _ in FRAMES)


@dataclass(frozen=True)
class AnswerStyle:
    """What stands around a model's answers.

    Parameters
    ----------
    thinks : bool
        It writes thoughts before its answer.
    opened : bool
        Its chat template begins the thoughts, so that its responses have only their end.
    switch : bool
        The template can turn thinking off, which freqq leaves as it is.
    tags, boxes : bool
        It knows the marks of ``<answer>`` and of boxes, and may put its answer into them.
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
    """How a model answers.

    Parameters
    ----------
    template : str
        The chat template, as Jinja.
    prompt : str
        What the template makes of a question, up to where the answer begins.
    tokens : collection of str
        The tokenizer's added tokens.
    """
    end = prompt.rstrip()
    opened = end.endswith(THINK)
    # A template that ends the thoughts itself leaves none to the model.
    thinks = opened or (not end.endswith(THOUGHT) and (THOUGHT in tokens or THOUGHT in template))
    return AnswerStyle(
        thinks=thinks,
        opened=opened,
        switch="enable_thinking" in template,
        tags=ANSWER in tokens or ANSWER in template,
        boxes=BOX in tokens or BOX in template,
    )


def style_of(tokenizer: Any) -> AnswerStyle:
    """How the model of a tokenizer answers a question about a page."""
    content = [{"type": "image"}, {"type": "text", "text": "?"}]
    chat = [{"role": "user", "content": content}]
    prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    return answer_style(tokenizer.get_chat_template(), prompt, tokenizer.get_added_vocab())
