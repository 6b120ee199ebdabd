"""Whatever a request brings, it is refused in one line, and the engine answers the next."""

import base64
import io
import json
import socket
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from PIL import Image

from freqq.serve.chat import chat_request
from freqq.serve.plugin import why_not
from freqq.serve.reply import Refused
from freqq.serve.tensors import pack
from freqq.tokens import compressor
from tests.vllm.conftest import needs_vllm, pages_of, samples

pytestmark = needs_vllm

CHANNELS = 256
NAN = torch.full((4, CHANNELS), torch.nan)


def embeds(**tensors):
    whole = {"image_embeds": torch.zeros(4, CHANNELS), "image_grid_thw": torch.tensor([1, 4, 4])} | tensors
    return {"type": "image_embeds", "image_embeds": {name: pack(tensor) for name, tensor in whole.items()}}


def picture(width: int, height: int, form: str = "PNG"):
    file = io.BytesIO()
    Image.fromarray(np.zeros((height, width), np.uint8)).save(file, form)
    url = f"data:image/{form.lower()};base64," + base64.b64encode(file.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": url}}


def message(*parts):
    return [{"role": "user", "content": [*parts, {"type": "text", "text": "Who?"}]}]


def with_method(**found):
    return {"mm_processor_kwargs": {"freqq": found}}


PLACES = {"image_positions": torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 2]]), "image_tokens": torch.tensor([4])}

REFUSED = {
    "an unknown method": (with_method(method="token-prun"), "did you mean 'token-prune'"),
    "an unknown level": (with_method(method="token-prune", level="midl"), "did you mean 'mild'"),
    "an unknown parameter": (with_method(method="token-prune", kep=1), "did you mean 'keep'"),
    "a value out of range": (with_method(method="token-prune", keep=-1), "keep -1"),
    "a value of another type": (with_method(method="token-prune", keep=[[]]), "of another type"),
    "a codebook that is missing": (with_method(method="token-vq", codebook="0" * 16), "codebook"),
    "a specification too long": (with_method(method="token-prune", level="x" * 9999), "longer than 512"),
    "a level without a method": (with_method(level="extreme"), "'level' needs a method"),
    "a seed of more than 64 bits": (with_method(method="token-random", seed=10**30), "more than 64 bits"),
    "a parameter that is a list": (with_method(method="token-lowpass", axis=["both"]), "of another type"),
    "a method for embeddings": (
        {"messages": message(embeds())} | with_method(method="token-prune"), "image_embeds are read as they are sent",
    ),
    "embeddings of one dimension": (
        {"messages": message(embeds(image_embeds=torch.zeros(CHANNELS)), embeds(image_embeds=torch.zeros(3)))},
        "at least 2 dimensions",
    ),
    "pages of embeddings of two widths": (
        {"messages": message(embeds(), embeds(image_embeds=torch.zeros(4, CHANNELS + 1)))},
        "have 257 channels, and the model has 256",
    ),
    "embeddings of eight bits": (
        {"messages": message(embeds(image_embeds=torch.zeros(4, CHANNELS).to(torch.float8_e4m3fn)))}, "float8_e4m3fn",
    ),
    "embeddings too large for the model": (
        {"messages": message(embeds(image_embeds=torch.full((4, CHANNELS), 1e300, dtype=torch.float64)))},
        "too large for float32",
    ),
    "counts whose sum overflows": (
        {"messages": message(*[embeds(
            image_embeds=torch.zeros(1, CHANNELS), image_positions=torch.zeros(1, 2), image_tokens=torch.tensor([count])
        ) for count in (10**10, 2**62, 2**62, 2**62, 2**62 + 5 - 10**10)])},
        "are not those of 5 pages",
    ),
    "no object": ({"mm_processor_kwargs": {"freqq": "token-prune"}}, "is an object such as"),
    "embeddings of another width": (
        {"messages": message(embeds(image_embeds=torch.zeros(4, 255)))}, "have 255 channels, and the model has 256",
    ),
    "embeddings that are no numbers": ({"messages": message(embeds(image_embeds=NAN))}, "NaN or infinity"),
    "too few embeddings": (
        {"messages": message(embeds(image_embeds=torch.zeros(3, CHANNELS)))}, "3 image_embeds for 4",
    ),
    "positions outside the page": ({"messages": message(embeds(**PLACES))}, "(1, 2) is outside a page of 2 x 2"),
    "counts that do not add up": (
        {"messages": message(embeds(**PLACES | {"image_tokens": torch.tensor([5])}))}, "are not those of",
    ),
    "a grid of another world": (
        {"messages": message(embeds(image_grid_thw=torch.tensor([1, 2**40, 4])))}, "is not a page grid",
    ),
    "pages of more positions than there are": (
        {"messages": message(*[embeds(
            image_embeds=torch.zeros(1, CHANNELS), image_grid_thw=torch.tensor([1, 16384, 16384]),
            image_positions=torch.zeros(1, 2), image_tokens=torch.tensor([1]),
        )] * 5)} | with_method(method="none"),
        "positions more than they have tokens",
    ),
    "a video": (
        {"messages": message({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}})}, "video",
    ),
    "a page that is 250 times as wide as high": ({"messages": message(picture(28 * 250, 28))}, ""),
    "no picture": (
        {"messages": message({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}})}, "",
    ),
    "more pages than are allowed": ({"messages": message(*[picture(56, 56)] * 9)}, "At most 8"),
}  # fmt: skip


@pytest.fixture(scope="module")
def usual(server):
    """A request, and its answer while all is well."""
    sample = samples(1)[0]
    request = chat_request("tiny", sample.question, pages_of(sample), 16, method=compressor("token-prune").at("mild"))
    return request, server.client.complete(request)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_and_the_next_is_answered(server, usual, name):
    changes, expected = REFUSED[name]
    request, answer = usual
    with pytest.raises(Refused, match=r"status 4\d\d") as caught:
        server.client.complete(request | changes)
    assert expected in str(caught.value)
    assert server.client.complete(request) == answer


def test_whoever_goes_away_harms_nobody(server, usual):
    request, answer = usual
    address = urlsplit(server.engine.url)
    body = json.dumps(request | {"max_tokens": 1000, "ignore_eos": True}).encode()
    for cut in (len(body) // 2, len(body)):
        with socket.create_connection((address.hostname, address.port), timeout=60) as sock:
            head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:cut])
    assert server.client.complete(request) == answer


def test_an_answer_ends_where_positions_do(server, usual):
    """Of pages that span as many as there are, but for five."""
    request, answer = usual
    most = 4 * 8192  # of the embedded model's table

    def ask(*sides: int, **more):
        pages = [
            embeds(
                image_embeds=torch.zeros(1, CHANNELS), image_grid_thw=torch.tensor([1, 2 * side, 2]),
                image_positions=torch.zeros(1, 2), image_tokens=torch.tensor([1]),
            )
            for side in sides
        ]  # fmt: skip
        return server.client.complete(request | {"messages": message(*pages)} | with_method(method="none") | more)

    prompt = ask(1, 1, 1, 1, max_tokens=1).prompt_tokens
    last = most - prompt - 3 * 8191 + 1
    reply = ask(8192, 8192, 8192, last - 5, max_tokens=64, ignore_eos=True)
    assert (reply.new_tokens, reply.truncated) == (5, True)
    with pytest.raises(Refused, match="send fewer pages, or compress them less"):
        ask(8192, 8192, 8192, last, max_tokens=64)
    assert server.client.complete(request) == answer


@pytest.mark.parametrize("size", [(1, 1), (28, 28), (29, 3000)])
def test_pages_of_any_size_are_read(server, usual, size):
    request, answer = usual
    for name in ("token-prune", "token-lowpass", "token-merge", "token"):
        server.client.complete(
            request | {"messages": message(picture(*size)), "max_tokens": 1} | with_method(method=name, level="extreme")
        )
    assert server.client.complete(request) == answer


def test_the_plug_in_is_seen_from_outside(server):
    assert why_not(server.client, "tiny") is None


def test_pictures_and_embeddings_of_one_page_are_two_pages(server, usual, reader):
    """Caches go by content and method."""
    sample = samples(1)[0]
    for method in (None, "token-prune", "token-lowpass", None, "token-prune"):
        chosen = method and compressor(method).at("extreme")
        sent = chat_request("tiny", sample.question, pages_of(sample), 1, method=chosen)
        grids = reader.see(pages_of(sample))
        kept = sum(len(grid.flatten(0, 1) if chosen is None else chosen.compress(grid).features) for grid in grids)
        full = sum(grid.shape[0] * grid.shape[1] for grid in grids)
        plain = server.client.complete(chat_request("tiny", sample.question, pages_of(sample), 1)).prompt_tokens
        assert server.client.complete(sent).prompt_tokens == plain - full + kept
