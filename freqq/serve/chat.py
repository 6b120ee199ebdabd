"""A request of OpenAI's chat-completions protocol: pages or their embeddings, then a question."""

import base64
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch

from freqq.glm.decoding import GREEDY, Generation
from freqq.pages.page import Page, png_bytes
from freqq.serve.tensors import pack
from freqq.tokens import name_of
from freqq.tokens.base import TokenCompressor
from freqq.tokens.grid import CompressedGrid

MERGE = 2
"""Patches a side of a merged token, in all models of the family; ``image_grid_thw`` counts patches."""

PLUGIN = "freqq"
"""What `freqq.vllm` reads in a request's ``mm_processor_kwargs``."""


def image_part(page: Page) -> dict[str, Any]:
    """A page as it is, in a lossless PNG."""
    return {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + base64.b64encode(png_bytes(page)).decode("ascii")},
    }


def embeds_part(page: CompressedGrid) -> dict[str, Any]:
    """A page's tokens as vLLM takes them: ``image_embeds`` [k, C] and ``image_grid_thw`` [3], the page's grid.

    vLLM merges the parts of a request itself, along a new first dimension where all have one shape; a grid of shape
    [1, 3] would come out with a dimension too many.

    Tokens that are not all cells of the grid have their rows and columns beside them, ``image_positions`` [k, 2], and
    ``image_tokens`` [1], how many they are. Those are additions of `freqq.vllm`: a server without it refuses them.
    """
    h, w = page.shape
    tensors = {"image_embeds": page.features, "image_grid_thw": torch.tensor([1, MERGE * h, MERGE * w])}
    if not is_whole(page):
        tensors |= {"image_positions": page.cells, "image_tokens": torch.tensor([len(page.features)])}
    return {"type": "image_embeds", "image_embeds": {name: pack(tensor) for name, tensor in tensors.items()}}


def is_whole(page: CompressedGrid) -> bool:
    """Whether a page's tokens are all cells of its grid, so that any server knows where they are."""
    return page.kept is None and page.small is None


def chat_request(
    model: str,
    question: str,
    pages: Sequence[Page | CompressedGrid],
    max_tokens: int,
    generation: Generation = GREEDY,
    method: TokenCompressor | None = None,
) -> dict[str, Any]:
    """One user message: the pages in order, then the question.

    A server with `freqq.vllm` compresses the tokens of pages by `method`; see `specification`.

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
    if method is not None:
        request["mm_processor_kwargs"] = {PLUGIN: specification(method)}
    return request


def specification(method: TokenCompressor) -> dict[str, Any]:
    """A method as `freqq.vllm` takes it in a request: its name and all of its parameters.

    Raises
    ------
    UserError
        If the method has no name that a server could know.
    """
    return {"method": name_of(type(method)), **{f.name: getattr(method, f.name) for f in fields(method) if f.init}}
