"""Which method a page's tokens are compressed by: what a request or a server's option says, and how pages carry it."""

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from freqq.errors import UserError
from freqq.tokens import compressor
from freqq.tokens.base import TokenCompressor

KEY = "freqq"
"""Of ``mm_processor_kwargs``, a request's or the server's: ``{"method": NAME, "level": NAME, PARAMETER: VALUE}``."""

VARIABLE = "FREQQ_VLLM"
"""Environment variable with the same as JSON, for what neither request nor server says."""

BYTES = 512
"""Longest specification."""

USUAL_LEVEL = "mild"


def chosen(request: Mapping[str, Any], server: Mapping[str, Any] | None) -> object:
    """What holds for a request: what itself says, else the server's options, else the environment variable.

    Raises
    ------
    ValueError
        If the variable is not JSON.
    """
    for given in (request, server or {}):
        if KEY in given:
            return given[KEY]
    try:
        return json.loads(os.environ.get(VARIABLE) or "{}")
    except ValueError as error:
        raise ValueError(f"the environment variable {VARIABLE} is not JSON: {error}") from error


def pack(found: object) -> Tensor:
    """A specification as uint8 [BYTES], which travels with each page.

    Raises
    ------
    ValueError
        If it is not understood: vLLM's word for what a request is refused for.
    """
    if not isinstance(found, dict):
        raise ValueError(f"{KEY} is an object such as {{'method': 'token-prune', 'level': 'mild'}}, not {found!r:.80}")
    for name, value in found.items():
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError(f"{KEY}: {name!r:.80} is a whole number of more than 64 bits: give a smaller one")
    try:
        text = json.dumps(found, sort_keys=True).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{KEY}: {error}") from error
    if len(text) > BYTES:
        raise ValueError(f"{KEY}: a specification of {len(text)} bytes is longer than {BYTES}")
    _method(text.decode())
    return torch.frombuffer(bytearray(text.ljust(BYTES)), dtype=torch.uint8)


def unpack(packed: Tensor) -> TokenCompressor | None:
    """The method that `pack` wrote; None: nothing is compressed."""
    return _method(packed.cpu().numpy().tobytes().decode().rstrip())


def check_channels(method: TokenCompressor, channels: int) -> None:
    """Refuse a request whose method has nothing for a model of so many channels.

    Raises
    ------
    ValueError
        In one line.
    """
    try:
        method.check_model(channels, embedded=True)
    except UserError as error:
        raise ValueError(f"{KEY}: {error}") from error


@lru_cache(maxsize=256)
def _method(text: str) -> TokenCompressor | None:
    found = json.loads(text)
    name = found.pop("method", None)
    if name in (None, "none"):
        if found:
            raise ValueError(f"{KEY}: {next(iter(found))!r} needs a method: add 'method'")
        return None
    level = found.pop("level", USUAL_LEVEL)
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}
    try:
        if not isinstance(name, str) or not isinstance(level, str):
            raise UserError("method and level are names")
        kind = compressor(name)
        if level == "baseline":
            kind.at(USUAL_LEVEL, **values)  # for parameters that are not read, but may be wrong
            return None
        return kind.at(level, **values)
    except UserError as error:
        raise ValueError(f"{KEY}: {error}") from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:  # of a check that expects another type
        raise ValueError(f"{KEY}: a parameter of {name} has a value of another type ({error})") from error
