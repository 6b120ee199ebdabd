"""Parse chat requests: the part of the protocol that a reader of pages can answer; everything else is refused."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from freqq.errors import UserError
from freqq.glm.decoding import Generation
from freqq.glm.reader import MAX_NEW_TOKENS
from freqq.image.files import read_page
from freqq.pages.page import Page
from freqq.serve.chat import MERGE
from freqq.serve.tensors import unpack

READ = frozenset(
    "model messages max_tokens max_completion_tokens temperature top_p top_k repetition_penalty n stream user "
    "stop_token_ids skip_special_tokens include_stop_str_in_output".split()
)
NEUTRAL: Mapping[str, object] = {"top_p": 1, "n": 1, "stream": False}
"""Fields that are accepted with this value only."""

LEAST_TEMPERATURE = 1e-5
"""Less is greedy, as in vLLM: logits divided by it would overflow."""

MOST_STOPS = 64
MOST_PAGES = 512
MOST_SIDE = 4096
"""Tokens along a side of a page of embeddings."""
MOST_BYTES = 1 << 30
"""Pixels and embeddings of a request. A page of one colour is a few bytes of PNG, however large it is."""


class BadRequest(Exception):
    """A refused request, with the invalid field and OpenAI's error code, if any."""

    def __init__(self, message: str, field: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.code = code


@dataclass(frozen=True)
class Question:
    """A question to a model about pages: images, or grids [h, w, C] of tokens that were encoded elsewhere."""

    model: str
    text: str
    pages: tuple[Page | Tensor, ...]
    max_tokens: int
    generation: Generation

    @property
    def nbytes(self) -> int:
        """Size of its pages and its text."""
        return sum(map(_nbytes, self.pages)) + len(self.text)


def _nbytes(page: Page | Tensor) -> int:
    return page.pixels.nbytes if isinstance(page, Page) else page.nbytes


def parse(body: Any) -> Question:
    """A question from a request's JSON.

    Unknown fields are refused, since ignoring them could change what is answered.

    Raises
    ------
    BadRequest
        If anything in it is not supported.
    """
    if not isinstance(body, dict):
        raise BadRequest("the request is not a JSON object")
    for name, value in body.items():
        if name not in READ and value is not None:
            raise BadRequest(f"this server does not read {name[:60]!r}: leave it out", name[:60])
    for name, wanted in NEUTRAL.items():
        if body.get(name) is not None and body[name] != wanted:
            raise BadRequest(f"{name} can only be {str(wanted).lower()} here", name)
    if not isinstance(body.get("model"), str):
        raise BadRequest("the model's name is needed", "model")
    text, pages = _message(body.get("messages"))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRequest("the question is not valid Unicode: it contains a lone surrogate", "messages") from error
    field = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    most = body.get(field)
    if most is not None and (type(most) is not int or most < 1):
        raise BadRequest(f"{field} must be a whole number of at least 1", field)
    return Question(body["model"], text, pages, MAX_NEW_TOKENS if most is None else most, _generation(body))


def _generation(body: Mapping[str, Any]) -> Generation:
    temperature = _number(body, "temperature", 1.0)
    penalty = _number(body, "repetition_penalty", 1.0)
    top_k = body.get("top_k")
    if not 0 <= temperature <= 2:
        raise BadRequest("temperature must be from 0 to 2", "temperature")
    if not 0 < penalty <= 10:
        raise BadRequest("repetition_penalty must be above 0 and at most 10", "repetition_penalty")
    if top_k is not None and (type(top_k) is not int or not (top_k >= 1 or top_k in (-1, 0))):
        raise BadRequest("top_k must be a whole number of at least 1, or -1 for no limit", "top_k")
    stops = body.get("stop_token_ids") or []
    if not (isinstance(stops, list) and len(stops) <= MOST_STOPS and all(type(id) is int and id >= 0 for id in stops)):
        raise BadRequest(f"stop_token_ids must be a list of at most {MOST_STOPS} token ids", "stop_token_ids")
    special = body.get("skip_special_tokens") is False
    if (body.get("include_stop_str_in_output") or False) is not special:
        raise BadRequest("include_stop_str_in_output must be the opposite of skip_special_tokens here")
    top_k = top_k if top_k is not None and top_k >= 1 else None
    temperature = temperature if temperature >= LEAST_TEMPERATURE else 0.0
    return Generation(temperature, top_k, penalty, tuple(stops), special)


def _number(body: Mapping[str, Any], name: str, default: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if type(value) not in (int, float):
        raise BadRequest(f"{name} must be a number", name)
    try:
        return float(value)
    except OverflowError as error:
        raise BadRequest(f"{name} is too large", name) from error


def _message(messages: Any) -> tuple[str, tuple[Page | Tensor, ...]]:
    """The question and the pages of a chat of one user message: any pages, then one text."""
    if not (isinstance(messages, list) and len(messages) == 1 and isinstance(messages[0], dict)):
        raise BadRequest("this server answers one user message, without others before it", "messages")
    (message,) = messages
    content = message.get("content")
    if message.get("role") != "user":
        raise BadRequest("the message must be the user's", "messages")
    if isinstance(content, str):
        return content, ()
    if not isinstance(content, list) or not content or not all(isinstance(part, dict) for part in content):
        raise BadRequest("the content must be a text or a list of parts", "messages")
    *parts, last = content
    if last.get("type") != "text" or not isinstance(last.get("text"), str):
        raise BadRequest("the last part must be the question, a text", "messages")
    if len(parts) > MOST_PAGES:
        raise BadRequest(f"{len(parts)} pages are more than {MOST_PAGES}", "messages")
    pages: list[Page | Tensor] = []
    size = 0
    for i, part in enumerate(parts):
        pages.append(_page(part, f"messages[0].content[{i}]"))
        size += _nbytes(pages[-1])
        if size > MOST_BYTES:
            raise BadRequest(f"its pages take more than {MOST_BYTES >> 20} MiB: send fewer or smaller ones", "messages")
    return last["text"], tuple(pages)


def _page(part: Mapping[str, Any], where: str) -> Page | Tensor:
    kind = part.get("type")
    try:
        if kind == "image_url":
            return _image(part.get("image_url"))
        if kind == "image_embeds":
            return _grid(part.get("image_embeds"))
    except UserError as error:
        raise BadRequest(str(error), where) from error
    raise BadRequest("a part before the question must be an image_url or image_embeds", where)


def _image(found: Any) -> Page:
    url = found.get("url") if isinstance(found, dict) else found
    if not isinstance(url, str) or not url.startswith("data:image/"):
        raise UserError("image_url must be a data: URL of an image; this server fetches nothing")
    head, comma, text = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise UserError("the image's data: URL must be in base64")
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise UserError(f"the image is not base64 ({error})") from error
    return read_page(Path("the image"), content)


def _grid(found: Any) -> Tensor:
    """A grid [h, w, C] from ``image_embeds`` [n, C] or [1, n, C] and ``image_grid_thw`` [3] or [1, 3]."""
    if not isinstance(found, dict) or not all(
        isinstance(found.get(name), str) for name in ("image_embeds", "image_grid_thw")
    ):
        raise UserError("image_embeds must be an object of image_embeds and image_grid_thw, each base64 of a tensor")
    if other := sorted(found.keys() - {"image_embeds", "image_grid_thw"}):
        raise UserError(f"this server does not read {other[0][:60]}: it takes all tokens of a page, and vLLM any")
    tokens, thw = unpack(found["image_embeds"]), unpack(found["image_grid_thw"])
    if tokens.ndim == 3 and tokens.shape[0] == 1:
        tokens = tokens[0]
    if tokens.ndim != 2 or not tokens.is_floating_point() or not bool(torch.isfinite(tokens).all()):
        raise UserError(f"image_embeds must be finite numbers of shape [tokens, channels], not {list(tokens.shape)}")
    if thw.is_floating_point() or thw.shape not in ((3,), (1, 3)):
        raise UserError("image_grid_thw must be three whole numbers: 1, and height and width in patches")
    t, h, w = (int(n) for n in thw.flatten())
    if t != 1 or not all(0 < n <= MERGE * MOST_SIDE and n % MERGE == 0 for n in (h, w)):
        raise UserError(f"image_grid_thw {[t, h, w]} is not that of a page: 1, and two even numbers")
    rows, columns = h // MERGE, w // MERGE
    if len(tokens) != rows * columns:
        raise UserError(f"image_grid_thw {[t, h, w]} is of {rows * columns} tokens, and there are {len(tokens)}")
    return tokens.reshape(rows, columns, -1)
