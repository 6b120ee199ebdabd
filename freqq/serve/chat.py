"""A request of OpenAI's chat-completions protocol: pages or their embeddings, then a question."""

import base64
from collections.abc import Sequence
from typing import Any

import torch

from freqq.errors import FreqqError
from freqq.glm.decoding import GREEDY, Generation
from freqq.pages.page import Page
from freqq.pages.png import png_bytes
from freqq.serve.tensors import pack
from freqq.tokens.grid import CompressedGrid

MERGE = 2
"""Patches a side of a merged token, in all models of the family; ``image_grid_thw`` counts patches."""


def image_part(page: Page) -> dict[str, Any]:
    """A page as it is, in a lossless PNG."""
    return {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + base64.b64encode(png_bytes(page)).decode("ascii")},
    }


def embeds_part(page: CompressedGrid) -> dict[str, Any]:
    """A page's merged tokens, as vLLM's glm4v takes them: ``image_embeds`` [h·w, C] and ``image_grid_thw`` [3].

    vLLM merges the parts of a request itself, along a new first dimension where all have one shape; a grid of shape
    [1, 3] would come out with a dimension too many.

    Raises
    ------
    FreqqError
        If the tokens are not all cells of a grid. A server counts positions from ``image_grid_thw`` alone, so it would
        put them elsewhere.
    """
    if page.kept is not None or page.small is not None:
        raise FreqqError("tokens that are not all cells of a page of their own cannot be sent to a server")
    h, w = page.shape
    grid = torch.tensor([1, MERGE * h, MERGE * w])
    return {
        "type": "image_embeds",
        "image_embeds": {"image_embeds": pack(page.features), "image_grid_thw": pack(grid)},
    }


def chat_request(
    model: str,
    question: str,
    pages: Sequence[Page | CompressedGrid],
    max_tokens: int,
    generation: Generation = GREEDY,
) -> dict[str, Any]:
    """One user message: the pages in order, then the question.

    A greedy request has the fields of the protocol alone. The others are those of vLLM and SGLang beside it, and stand
    there only if the way to make responses needs them.
    """
    parts = [image_part(page) if isinstance(page, Page) else embeds_part(page) for page in pages]
    request: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}],
        "max_tokens": max_tokens,
        "temperature": generation.temperature,
        "top_p": 1.0,
    }
    if generation.top_k is not None:
        request["top_k"] = generation.top_k
    if generation.repetition_penalty != 1.0:
        request["repetition_penalty"] = generation.repetition_penalty
    if generation.stop_token_ids:
        request["stop_token_ids"] = list(generation.stop_token_ids)
    if generation.special_tokens:
        request |= {"skip_special_tokens": False, "include_stop_str_in_output": True}
    return request
