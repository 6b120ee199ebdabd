"""Answers through vLLM are the local backend's, whatever the method, and however vLLM cuts and shares its work."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from freqq.serve.chat import chat_request
from freqq.serve.reply import Reply
from freqq.tokens import COMPRESSORS, compressor
from freqq.tokens.grid import whole
from tests.vllm.conftest import CHUNK, NEW_TOKENS, needs_vllm, pages_of, samples

pytestmark = needs_vllm

METHODS = {
    "none": None,
    **{name: compressor(name).at("mild") for name in COMPRESSORS},
    "token-lowpass, compact": compressor("token-lowpass").at("mild", positions="compact"),
    "token-pool, columns": compressor("token-pool").at("mild", axis="columns"),
    "token-lowpass+quantize": compressor("token-lowpass+quantize").at("ultra_mild"),
    "token-prune+vq": compressor("token-prune+vq").at("mild"),
    "token-merge+int8": compressor("token-merge+int8").at("extreme"),
}
COUNT = 40
FEW = 8


def ask(server, sample, pages, method) -> Reply:
    return server.client.complete(chat_request("tiny", sample.question, pages, NEW_TOKENS, method=method))


@pytest.fixture(scope="module")
def replies(server):
    """Every sample by every method, all at once and in no order: so methods share steps, and pages' caches."""
    todo = [(name, sample) for name in METHODS for sample in samples(COUNT if name in (*COMPRESSORS, "none") else FEW)]
    random.Random(0).shuffle(todo)
    pages = [pages_of(sample) for _, sample in todo]  # before the threads: they may not draw at once
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda item, own: ask(server, item[1], own, METHODS[item[0]]), todo, pages)
        return dict(zip(((name, sample.id) for name, sample in todo), found, strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_answers_are_the_local_ones(replies, local, name):
    own = [sample for sample in samples(COUNT) if (name, sample.id) in replies]
    expected = local.answers([s.question for s in own], [pages_of(s) for s in own], METHODS[name])
    found = [replies[name, sample.id] for sample in own]
    assert [r.prompt_tokens for r in found] == [a.prompt_tokens for a in expected]
    assert [r.text for r in found] == [a.text for a in expected]


def test_the_engine_cut_pages_and_preempted_and_reused(server, replies, local):
    """Else the answers above would prove less than they seem to."""
    assert max(reply.prompt_tokens for reply in replies.values()) > 2 * CHUNK
    assert server.metric("vllm:num_preemptions_total") > 0
    sample = samples(1)[0]
    again = [ask(server, sample, pages_of(sample), METHODS["token-prune"]) for _ in range(2)]
    assert again == [replies["token-prune", sample.id]] * 2
    assert server.metric("vllm:prefix_cache_hits_total") > 0


@pytest.mark.parametrize("name", ["none", "token-prune", "token-lowpass", "token-merge+int8"])
def test_prompts_of_many_pages(server, local, name):
    pages = [page for sample in samples(12, 4) for page in pages_of(sample)]
    own = samples(6, 4)
    many = [[pages[(7 * i + j) % len(pages)] for j in range(7)] for i in range(len(own))]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda item: ask(server, *item, METHODS[name]), zip(own, many, strict=True)))
    expected = local.answers([s.question for s in own], many, METHODS[name])
    assert [(r.text, r.prompt_tokens) for r in found] == [(a.text, a.prompt_tokens) for a in expected]


@pytest.mark.parametrize(
    "name", ["none", "token", "token-random", "token-prune", "token-lowpass", "token-lowpass+quantize"]
)
def test_tokens_that_were_compressed_elsewhere(server, local, name):
    """Pages as embeddings, with the cells that they stand for."""
    own = samples(FEW)
    grids = [local.grids(pages_of(sample), METHODS[name]) for sample in own]
    if METHODS[name] is None:
        grids = [[whole(grid) for grid in sample] for sample in grids]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda item: ask(server, item[0], item[1], None), zip(own, grids, strict=True)))
    expected = local.answers([s.question for s in own], [pages_of(s) for s in own], METHODS[name])
    assert [(r.text, r.prompt_tokens) for r in found] == [(a.text, a.prompt_tokens) for a in expected]
