"""Token ids of questions about pages, by a model's chat template and tokenizer."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from freqq.data.responses import THINK
from freqq.errors import FreqqError, UserError

QUESTION = "\ue000question\ue000"
"""Placeholder for the question when a chat template is rendered; no template contains private-use characters."""


class ChatWriter:
    """Converts a chat of pages and one question to token ids, with the model's own chat template.

    Parameters
    ----------
    tokenizer : of transformers
    image_token_id : int
        The placeholder token of a page.
    marks : token ids before and after that token which the template does not contain
    """

    def __init__(
        self, tokenizer: Any, image_token_id: int, marks: tuple[Sequence[int], Sequence[int]] = ((), ())
    ) -> None:
        self._tokenizer = tokenizer
        self._image_token_id = image_token_id
        self._marked = [*marks[0], image_token_id, *marks[1]]
        self._frames: dict[int, tuple[str, str]] = {}
        added = sorted((token.content for token in tokenizer.added_tokens_decoder.values()), key=len, reverse=True)
        self._added = re.compile("|".join(map(re.escape, added)) or "(?!)")

    def write(self, question: str, pages: int, special_tokens: bool = False) -> list[int]:
        """Token ids of a user message (pages, then the question) and of the start of the answer.

        They are those of the tokenizer's ``apply_chat_template``, plus the marks. With `special_tokens`, special tokens
        in the question are tokens; otherwise they are split like any text, and ``<|image|>`` is nine characters instead
        of a page.

        Raises
        ------
        UserError
            If the question's text contains an image token.
        """
        before, after = self._frame(pages)
        shown = self._render(question, pages)
        if len(shown) < len(before) + len(after) or not (shown.startswith(before) and shown.endswith(after)):
            raise FreqqError("the model's chat template changes with the question: it is not known where that stands")
        if special_tokens:
            ids = self._ids(shown)
        else:
            # Text adjacent to the question is tokenized with it, up to the template's next special token: "\n" and the
            # question's own first line break may form one token.
            start = max((match.end() for match in self._added.finditer(before)), default=0)
            first = self._added.search(after)
            end = len(shown) - len(after) + (first.start() if first else len(after))
            text = self._ids(shown[start:end], split_special_tokens=True)
            ids = [*self._ids(shown[:start]), *text, *self._ids(shown[end:])]
        if ids.count(self._image_token_id) != pages:
            token = self._tokenizer.convert_ids_to_tokens(self._image_token_id)
            raise UserError(f"the question contains {token}, which this model takes for a page: remove it")
        return [id for token in ids for id in (self._marked if token == self._image_token_id else [token])]

    def opening(self, pages: int) -> str:
        """``<think>`` if the template itself opens the model's reasoning."""
        return THINK if self._frame(pages)[1].rstrip().endswith(THINK) else ""

    def _frame(self, pages: int) -> tuple[str, str]:
        """The template's text before and after the question, which only depends on the number of pages."""
        if pages not in self._frames:
            before, found, after = self._render(QUESTION, pages).partition(QUESTION)
            if not found:
                raise FreqqError("the model's chat template does not show the user's text")
            self._frames[pages] = (before, after)
        return self._frames[pages]

    def _render(self, question: str, pages: int) -> str:
        content = [{"type": "image"}] * pages + [{"type": "text", "text": question}]
        chat = [{"role": "user", "content": content}]
        return str(self._tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))

    def _ids(self, text: str, split_special_tokens: bool = False) -> list[int]:
        # The template is complete, so the tokenizer must not add special tokens.
        encoded = self._tokenizer(text, add_special_tokens=False, split_special_tokens=split_special_tokens)
        return list(encoded["input_ids"])


def read_tokenizer(folder: Path) -> Any:
    """A model's tokenizer with its chat template; a `UserError` if it has none."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not tokenizer.chat_template:
        tokenizer.chat_template = _legacy_template(folder)
    return tokenizer


def _legacy_template(folder: Path) -> str:
    """The chat template of a folder in the older format of processors."""
    file = folder / "chat_template.json"
    if not file.is_file():
        raise UserError(f"{folder} has no chat template: add its chat_template.jinja")
    return str(json.loads(file.read_text())["chat_template"])
