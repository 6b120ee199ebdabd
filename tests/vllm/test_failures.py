"""What a worker meets and cannot do fails the one request, with the reason, and the engine answers the next."""

import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from freqq.pages.page import Page
from freqq.serve.chat import chat_request
from freqq.serve.reply import Refused
from freqq.tokens import compressor
from tests.vllm.conftest import CHUNK, needs_vllm, pages_of, samples
from tests.vllm.faulty import DARK

pytestmark = needs_vllm

WAYS = {
    "codebook": "codebook",
    "arithmetic": "division by zero",
    "memory": "no memory for a page",
    "recursion": "recursion",
    "lines": "first line second line",
    "more": "it left",
    "fewer": "it left",
    "wider": "it left",
    "numbers": "NaN or infinity",
    "outside": "cells outside",
    "nothing": "NoneType",
}


def asked(pages, question="Who?", **method):
    return chat_request("tiny", question, pages, 16) | ({"mm_processor_kwargs": {"freqq": method}} if method else {})


def dark(height: int = 448, width: int = 336) -> Page:
    return Page(np.full((height, width), DARK, np.uint8))


@pytest.fixture(scope="module")
def usual(server):
    """A request, and its answer while all is well."""
    sample = samples(1)[0]
    request = chat_request("tiny", sample.question, pages_of(sample), 16, method=compressor("token-prune").at("mild"))
    return request, server.client.complete(request)


def reason(server, request) -> str:
    with pytest.raises(Refused, match="status 400") as caught:
        server.client.complete(request)
    message = str(caught.value)
    assert "freqq: a page of " in message
    assert "\n" not in message
    assert len(message) < 700
    return message


@pytest.mark.parametrize("way", WAYS)
def test_a_method_that_fails_in_the_worker(server, usual, way):
    request, answer = usual
    page = pages_of(samples(1)[0])[0]
    for _ in range(2):  # the second time is no other than the first
        message = reason(server, asked([page], method="token-faulty", way=way))
        assert WAYS[way] in message
        assert "Faulty" in message
    assert server.client.complete(request) == answer


def test_the_method_can_do_right(server):
    page = pages_of(samples(1)[0])[0]
    assert server.client.complete(asked([page], method="token-faulty")).text


def test_a_page_that_failed_once_is_read_the_next_time(server, usual):
    """It is not the page that is to blame; nothing that was computed of the zeros in its place is found in a cache."""
    request, answer = usual
    pages = list(pages_of(samples(1)[0]))
    asked_before = asked(pages, method="token-faulty", way="none")
    expected = server.client.complete(asked_before)
    again = asked(pages, method="token-faulty", way="once")
    assert "no memory for a page just now" in reason(server, again)
    assert [server.client.complete(again) for _ in range(2)] == [expected] * 2
    assert server.client.complete(request) == answer


@pytest.mark.parametrize("method", ["none", "token", "token-prune", "token-lowpass", "token-merge+int8"])
def test_a_page_without_numbers(server, usual, method):
    """Long enough for several steps, alone, and as the last of three pages; a reason, never an answer to zeros."""
    request, answer = usual
    page = dark()
    assert CHUNK < (448 // 28) * (336 // 28)
    good = list(pages_of(samples(1)[0]))
    for pages in ([page], [page], [*good, good[0], page], [page]):
        assert "NaN" in reason(server, asked(pages, method=method))
    assert server.client.complete(request) == answer


def test_others_in_the_batch_are_answered(server, usual):
    """Failing pages and good ones, all at once, some of them the same."""
    request, answer = usual
    bad = [asked([dark(112, 28 * (4 + i % 3))], f"Who, {i}?", method="token-prune") for i in range(6)]
    with ThreadPoolExecutor(12) as pool:
        failing = [pool.submit(reason, server, one) for one in bad]
        good = [pool.submit(server.client.complete, request) for _ in range(6)]
        assert all("NaN" in future.result() for future in failing)
        assert [future.result() for future in good] == [answer] * 6


def test_a_stream_ends_with_the_reason(server, usual):
    request, answer = usual
    body = json.dumps(asked([dark()], method="token-prune") | {"stream": True}).encode()
    post = urllib.request.Request(f"{server.engine.url}/chat/completions", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(post, timeout=60) as response:
            said = response.read().decode()
    except urllib.error.HTTPError as error:
        said = error.read().decode()
    assert "NaN or infinity" in said
    assert server.client.complete(request) == answer
