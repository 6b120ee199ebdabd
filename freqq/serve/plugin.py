"""Whether a server compresses tokens itself, by `freqq.vllm`."""

from collections.abc import Mapping

import numpy as np

from freqq.errors import UserError
from freqq.pages.page import Page
from freqq.serve.chat import PLUGIN, UNCOMPRESSED, chat_request, specification
from freqq.serve.client import Client
from freqq.serve.reply import Refused
from freqq.tokens.base import TokenCompressor

NO_METHOD = "which-methods-are-there"
"""A method that does not exist: the plug-in's error message contains this name."""

START = (
    "start vLLM with freqq beside it and --trust-request-mm-kwargs, which 'freqq serve --engine vllm' does, "
    "or use --backend vllm, --backend local"
)


def why_not(client: Client, model: str) -> str | None:
    """Why a server does not compress tokens by request; None if it does. Sends up to two requests with an empty page.

    Raises
    ------
    Interrupted
        If the server does not answer.
    """
    request = chat_request(model, "?", [_empty_page()], 1)
    request["mm_processor_kwargs"] = {PLUGIN: {"method": NO_METHOD}}
    try:
        client.complete(request)
    except Refused as refused:
        if NO_METHOD not in str(refused):
            return str(refused).rstrip(".")
    else:
        return "it answers a request for a method that does not exist"
    request["mm_processor_kwargs"] = {PLUGIN: specification(UNCOMPRESSED)}
    try:
        client.complete(request)  # one that repeats in its error whatever it does not know refuses this, too
    except Refused as refused:
        return str(refused).rstrip(".")
    return None


def check_methods(client: Client, model: str, methods: Mapping[str, TokenCompressor]) -> None:
    """Try each method once on a server with the plug-in, before a run starts.

    Raises
    ------
    UserError
        If it refuses one, with its reason.
    """
    for name, method in methods.items():
        try:
            client.complete(chat_request(model, "?", [_empty_page()], 1, method=method))
        except Refused as refused:
            raise UserError(f"{name}: {refused}") from refused


def _empty_page() -> Page:
    return Page(np.full((56, 56), 255, np.uint8))
