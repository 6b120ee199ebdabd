"""A request of OpenAI's chat-completions protocol: pages or their embeddings, then a question."""

import base64
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Literal

import torch

from freqq.glm.decoding import GREEDY, Generation
from freqq.pages.page import Page, png_bytes
from freqq.serve.tensors import pack
from freqq.tokens import name_of
from freqq.tokens.base import TokenCompressor
from freqq.tokens.grid import CompressedGrid

MERGE = 2
"""Patches a side of a merged token, in all families of freqq's; ``image_grid_thw`` counts patches."""

PLUGIN = "freqq"
"""The key of `freqq.vllm` in a request's ``mm_processor_kwargs``."""

UNCOMPRESSED: Literal["none"] = "none"
"""The method that asks a server with `freqq.vllm` for all tokens of a page, whatever its default method is."""


def image_part(page: Page) -> dict[str, Any]:
    """A page as a PNG."""
    return {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + base64.b64encode(png_bytes(page)).decode("ascii")},
    }


def embeds_part(page: CompressedGrid, placed: bool) -> dict[str, Any]:
    """A page's tokens in vLLM's format: ``image_embeds`` [k, C] and ``image_grid_thw`` [3], the page's grid.

    vLLM stacks the parts of a request along a new first dimension if all have the same shape; a grid of shape [1, 3]
    would get one dimension too many.

    If it is `placed`, ``image_positions`` [k, 2] (rows and columns) and ``image_tokens`` [1] (k) are added, without
    which the tokens are all cells of the grid. These are extensions of `freqq.vllm`: a server without it refuses them.
    """
    h, w = page.shape
    tensors = {"image_embeds": page.features, "image_grid_thw": torch.tensor([1, MERGE * h, MERGE * w])}
    if placed:
        tensors |= {"image_positions": page.cells, "image_tokens": torch.tensor([len(page.features)])}
    return {"type": "image_embeds", "image_embeds": {name: pack(tensor) for name, tensor in tensors.items()}}


def is_whole(page: CompressedGrid) -> bool:
    """Whether a page's tokens are all cells of its grid, so that any server knows their positions."""
    return page.kept is None and page.small is None


def chat_request(
    model: str,
    question: str,
    pages: Sequence[Page | CompressedGrid],
    max_tokens: int,
    generation: Generation = GREEDY,
    method: TokenCompressor | Literal["none"] | None = None,
) -> dict[str, Any]:
    """One user message: the pages in order, then the question.

    A server with `freqq.vllm` compresses the tokens of pages by `method`, see `specification`; by none if that is
    `UNCOMPRESSED`. Without a method the request has no field of the plug-in, and the server's default method holds.

    A greedy request has only fields of the protocol. Others, extensions of vLLM and SGLang, are sent only if
    `generation` needs them.
    """
    # vLLM wants the same keys of all pages of a request.
    placed = not all(isinstance(page, Page) or is_whole(page) for page in pages)
    parts = [image_part(page) if isinstance(page, Page) else embeds_part(page, placed) for page in pages]
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


def specification(method: TokenCompressor | Literal["none"]) -> dict[str, Any]:
    """A method in the format of `freqq.vllm`: its name and all of its parameters.

    Raises
    ------
    UserError
        If the method is not registered under a name.
    """
    if isinstance(method, str):
        return {"method": method}
    return {"method": name_of(type(method)), **{f.name: getattr(method, f.name) for f in fields(method) if f.init}}
