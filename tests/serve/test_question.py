"""What the server reads of a request, and how it refuses the rest."""

import asyncio
import base64
import concurrent.futures
import json
import socket
import struct
import zlib

import httpx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from freqq.errors import Interrupted
from freqq.glm.decoding import GLYPH, Generation
from freqq.pages.page import Page
from freqq.serve import app, question
from freqq.serve.batcher import Batcher, Gone
from freqq.serve.chat import chat_request, image_part
from freqq.serve.question import BadRequest, parse
from freqq.serve.tensors import pack
from tests.glm.conftest import noise_page


def request(*parts, text="What?", **fields):
    content = [*parts, {"type": "text", "text": text}]
    return {"model": "m", "messages": [{"role": "user", "content": content}]} | fields


def image(url: object) -> dict:
    return {"type": "image_url", "image_url": {"url": url}}


def embeds(tokens: torch.Tensor, thw: torch.Tensor) -> dict:
    return {"type": "image_embeds", "image_embeds": {"image_embeds": pack(tokens), "image_grid_thw": pack(thw)}}


@pytest.mark.parametrize("colours", [False, True])
def test_pages_arrive_without_loss(colours):
    page = noise_page(31, 17, 0, colours)
    (found,) = parse(request(image_part(page))).pages
    assert isinstance(found, Page)
    assert np.array_equal(found.pixels, page.pixels)


@pytest.mark.parametrize("lead", [(), (1,)])
def test_embeddings_arrive_as_a_grid(lead):
    tokens = torch.randn(*lead, 15, 4)
    (found,) = parse(request(embeds(tokens, torch.tensor([1, 6, 10]).reshape(*lead, 3)))).pages
    assert torch.equal(found, tokens.reshape(3, 5, 4))


def test_many_pages_of_few_bytes_are_refused_before_they_fill_memory(monkeypatch):
    blank = Page(np.zeros((500, 700), np.uint8))
    monkeypatch.setattr(question, "MOST_BYTES", 3 * blank.pixels.nbytes)
    assert parse(request(*[image_part(blank)] * 3, text="?" * 9)).nbytes == question.MOST_BYTES + 9
    with pytest.raises(BadRequest, match="send fewer or smaller ones"):
        parse(request(*[image_part(blank)] * 4))
    with pytest.raises(BadRequest, match="send fewer or smaller ones"):
        parse(request(embeds(torch.zeros(3 * 175, 1000), torch.tensor([1, 6, 350]))))


@given(st.lists(st.integers(0, 2 * app.MOST_HELD), max_size=20))
def test_requests_hold_no_more_than_there_is_memory_for_unless_one_is_alone(sizes):
    memory, held = app._Memory(), []
    for size in sizes:
        try:
            memory.take(size)
        except HTTPException:
            assert sum(held) + size > app.MOST_HELD
            memory.give_back(held.pop(0))
        else:
            held.append(size)
            assert sum(held) <= app.MOST_HELD or sum(held) == size
    for size in held:
        memory.give_back(size)
    memory.take(2 * app.MOST_HELD)  # nothing is held any more


def test_fields_are_read():
    question = parse(request(temperature=0.5, top_k=7, repetition_penalty=1.2, max_completion_tokens=9, user="me"))
    assert (question.text, question.max_tokens) == ("What?", 9)
    assert question.generation == Generation(0.5, 7, 1.2)
    assert parse(request(top_k=-1)).generation == Generation(1.0)
    assert parse(request(temperature=1e-40)).generation.temperature == 0
    glyph = chat_request("m", "What?", [], 9, GLYPH)
    assert parse(glyph).generation == GLYPH
    assert glyph["stop_token_ids"] == [151329, 151336, 151348]
    assert glyph["skip_special_tokens"] is False
    plain = {"model": "m", "messages": [{"role": "user", "content": "Only text"}], "max_tokens": 3}
    assert (parse(plain).text, parse(plain).pages, parse(plain).max_tokens) == ("Only text", (), 3)


GOOD, GRID = torch.randn(6, 4), torch.tensor([1, 4, 6])
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 28 28\n%%EOF\n"  # Pillow would give it to ghostscript
HEADER = b"IHDR" + struct.pack(">IIBBBBB", 1 << 20, 1 << 20, 8, 0, 0, 0, 0)
BOMB = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + HEADER + struct.pack(">I", zlib.crc32(HEADER)) + b"\0\0\0\0IDAT"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([], "not a JSON object"),
        ({"messages": []}, "model's name"),
        ({"model": "m"}, "one user message"),
        ({"model": "m", "messages": [{"role": "user", "content": "a"}] * 2}, "one user message"),
        ({"model": "m", "messages": [{"role": "system", "content": "a"}]}, "user's"),
        ({"model": "m", "messages": [{"role": "user", "content": []}]}, "a list of parts"),
        ({"model": "m", "messages": [{"role": "user", "content": [1]}]}, "a list of parts"),
        ({"model": "m", "messages": [{"role": "user", "content": [image("x")]}]}, "must be the question"),
        (request({"type": "text", "text": "a"}), "image_url or image_embeds"),
        (request(*[{}] * 600), "600 pages"),
        (request(stream=True), "stream can only be false"),
        (request(n=2), "n can only be 1"),
        (request(top_p=0.5), "top_p can only be 1"),
        (request(tools=[]), "does not read 'tools'"),
        (request(stop_token_ids=["a"]), "stop_token_ids must be"),
        (request(stop_token_ids=[1] * 65), "stop_token_ids must be"),
        (request(skip_special_tokens=False), "the opposite of skip_special_tokens"),
        (request(include_stop_str_in_output=True), "the opposite of skip_special_tokens"),
        (request(temperature=3), "temperature"),
        (request(temperature=float("nan")), "temperature"),
        (request(temperature="hot"), "must be a number"),
        (request(temperature=10**400), "temperature is too large"),
        (request(top_k=1.5), "top_k"),
        (request(repetition_penalty=0), "repetition_penalty"),
        (request(max_tokens=0), "max_tokens"),
        (request(max_tokens=True), "max_tokens"),
        (request(image("http://127.0.0.1/page.png")), "fetches nothing"),
        (request(image("file:///etc/passwd")), "fetches nothing"),
        (request(image(None)), "data: URL"),
        (request(image("data:image/png,abc")), "in base64"),
        (request(image("data:image/png;base64,??")), "not base64"),
        (request(image("data:image/png;base64,AAAA")), "not an image"),
        (request(image("data:image/png;base64," + base64.b64encode(EPS).decode())), "not an image that can be read"),
        (request(image("data:image/png;base64," + base64.b64encode(BOMB).decode())), "too large for a page"),
        (request({"type": "image_embeds", "image_embeds": pack(GOOD)}), "an object of"),
        (request(embeds(GOOD, torch.tensor([1, 4, 4]))), "of 4 tokens, and there are 6"),
        (request(embeds(GOOD, torch.tensor([1, 3, 6]))), "two even numbers"),
        (request(embeds(GOOD, torch.tensor([2, 4, 6]))), "not that of a page"),
        (request(embeds(GOOD, torch.tensor([1, -4, -6]))), "not that of a page"),
        (request(embeds(GOOD, torch.tensor([1.0, 4, 6]))), "three whole numbers"),
        (request(embeds(GOOD, torch.tensor([1, 4]))), "three whole numbers"),
        (request(embeds(GOOD * float("nan"), GRID)), "finite"),
        (request(embeds(torch.ones(6, 4, dtype=torch.int64), GRID)), "finite"),
        (request(embeds(torch.ones(2, 3, 4), GRID)), "shape"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused(asked, message):
    with pytest.raises(BadRequest, match=message):
        parse(asked)


def post(server, content):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return httpx.post(f"{server.url}/chat/completions", timeout=600, content=body)


def test_errors_have_the_protocols_form(server, served_reader):
    name = served_reader.model_name
    for response, status, message in (
        (post(server, request(model="another")), 404, "no model"),
        (post(server, request(model=name, stream=True)), 400, "stream"),
        (post(server, b"{"), 400, "not JSON"),
        (post(server, request(model=name, text="x" * 600)), 400, "do not fit"),
        (post(server, request(model=name, text="x" * 300_000)), 400, "of text do not fit"),
        (post(server, {"messages": [[]] * app.MOST_VALUES}), 400, "more than 300,000 values"),
        (post(server, request(model=name, text="a\ud800b")), 400, "not valid Unicode"),
        (post(server, request(**{"x\ud800": 1})), 400, "does not read"),
        (post(server, request(model="\ud800")), 404, "no model"),
        (post(server, request(embeds(GOOD, GRID), model=name, max_tokens=9)), 400, "channels are not of this model"),
        (post(server, b"0" * (9 << 20)), 413, "8 MiB"),
        (httpx.get(f"{server.url}/nothing"), 404, "Not Found"),
        (httpx.get(f"{server.url}/chat/completions"), 405, "Method Not Allowed"),
    ):
        assert response.status_code == status
        assert set(response.json()) == {"error"}
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
        assert message in response.json()["error"]["message"]


def test_a_completion_has_the_protocols_form(server, served_reader):
    name = served_reader.model_name
    found = post(server, chat_request(name, "What?", [noise_page(56, 56, 0)], 3)).json()
    assert found["object"] == "chat.completion"
    assert found["usage"]["total_tokens"] == found["usage"]["prompt_tokens"] + found["usage"]["completion_tokens"]
    (choice,) = found["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == ("length" if found["usage"]["completion_tokens"] == 3 else "stop")


def test_an_answer_ends_where_the_context_does(server, served_reader):
    text = "x" * 480
    usage = post(server, request(model=served_reader.model_name, text=text, max_tokens=8192, temperature=0)).json()
    [choice], counts = usage["choices"], usage["usage"]
    limit = served_reader.model.config.text_config.max_position_embeddings
    assert counts["total_tokens"] == limit or choice["finish_reason"] == "stop"
    expected = served_reader.answer(text, [], limit - counts["prompt_tokens"])
    assert choice["message"]["content"] == expected.text


def test_what_nobody_waits_for_any_more_is_broken_off(served_reader):
    steps, batcher = [], []

    def step(*_):
        steps.append(1)
        if len(steps) == 5:
            batcher[0].close()

    async def run():
        batcher.append(Batcher(served_reader, 4))
        work = asyncio.create_task(batcher[0].work())
        asked = [parse(request(text="?" * i, temperature=0, max_tokens=300)) for i in range(1, 4)]

        async def is_gone():
            return False

        found = await asyncio.gather(*(batcher[0].answer(q, is_gone) for q in asked), return_exceptions=True)
        work.cancel()
        return found

    hook = served_reader.model.get_output_embeddings().register_forward_pre_hook(step)
    found = asyncio.run(run())
    hook.remove()
    assert [type(error) for error in found] == [Interrupted] * 3
    assert len(steps) < 10
    assert served_reader.answer("?", [], 9).new_tokens


def test_a_bad_request_in_a_batch_spoils_no_other(server, served_reader):
    name = served_reader.model_name
    pages = [[noise_page(56, 56 + 28 * i, i)] for i in range(6)]
    grids = [served_reader.see(p) for p in pages]
    expected = [served_reader.answer("What?", g, 4).text for g in grids]
    good = [chat_request(name, "What?", p, 4) for p in pages]
    bad = request(embeds(GOOD, GRID), model=name, max_tokens=4, temperature=0)
    with concurrent.futures.ThreadPoolExecutor(12) as threads:
        found = list(threads.map(lambda r: post(server, r), [r for one in good for r in (one, bad)]))
    assert [r.status_code for r in found] == [200, 400] * 6
    assert [r.json()["choices"][0]["message"]["content"] for r in found[::2]] == expected


def test_a_client_that_hangs_up_spoils_no_other(server, served_reader):
    name = served_reader.model_name
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert post(server, chat_request(name, "What?", [noise_page(56, 56, 0)], 3)).status_code == 200


def test_who_is_gone_is_not_answered(served_reader):
    async def both() -> list[object]:
        async def yes() -> bool:
            return True

        async def no() -> bool:
            return False

        batcher = Batcher(served_reader, 4)
        worker = asyncio.create_task(batcher.work())
        question = parse(request(model="m", max_tokens=2))
        found = await asyncio.gather(
            batcher.answer(question, yes), batcher.answer(question, no), return_exceptions=True
        )
        worker.cancel()
        batcher.close()
        return found

    gone, answer = asyncio.run(both())
    assert isinstance(gone, Gone)
    assert answer.new_tokens in (1, 2)
