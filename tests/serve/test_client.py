"""The client against a real server that answers, fails, stalls, and cuts connections."""

import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import torch

from freqq.errors import FreqqError, Interrupted, UserError
from freqq.glm.decoding import GLYPH, GREEDY
from freqq.serve import client as client_module
from freqq.serve.chat import chat_request
from freqq.serve.client import IDLE_S, MOST_GIVEN_UP, MOST_WAIT_S, Client
from freqq.serve.endpoint import Endpoint
from freqq.serve.reply import Refused, Reply
from freqq.serve.tensors import unpack
from freqq.tokens import COMPRESSORS
from freqq.tokens.grid import whole
from tests.glm.conftest import noise_page
from tests.serve.faulty import Fault, Server

PAGES = [noise_page(56, 84, 0), noise_page(84, 56, 1, colours=True)]


class Pauses(threading.Event):
    """Notes how long somebody wanted to wait, and does not."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.asked.append(timeout)
        return self.is_set()


def client_of(server: Server, pauses: Pauses | None = None, **values) -> Client:
    return Client(Endpoint(server.url, **{"retries": 2, "timeout_s": 20.0} | values), pauses or Pauses())


def ask(client: Client, name: str, pages=PAGES) -> Reply:
    return client.complete(chat_request(name, "What?", pages, 5))


@pytest.fixture
def name(served_reader) -> str:
    return served_reader.model_name


@pytest.mark.parametrize("generation", [GREEDY, GLYPH])
def test_an_answer_is_the_readers(server, served_reader, name, generation):
    seen = served_reader.see(PAGES)
    quantized = [COMPRESSORS["token"].at("extreme").compress(grid) for grid in seen]
    small = [COMPRESSORS["token-lowpass"].at("mild", positions="compact").compress(grid) for grid in seen]
    client = client_of(server)
    for sent, read in (
        (PAGES, seen), ([whole(grid) for grid in seen], seen), (quantized, quantized), (small, small), ([], []),
    ):  # fmt: skip
        [expected] = served_reader.answer_many(["What?"], [read], 5, generation)
        found = client.complete(chat_request(name, "What?", sent, 5, generation))
        assert found == Reply(expected.text, expected.prompt_tokens, expected.new_tokens, expected.truncated)


def test_embeddings_of_half_precision_arrive_as_they_are(server, served_reader, name):
    grid = served_reader.see(PAGES[:1])[0].bfloat16()
    expected = served_reader.answer("What?", [grid], 5)
    assert ask(client_of(server), name, [whole(grid)]).text == expected.text


def test_tokens_that_are_no_page_have_their_places_with_them(server, name, served_reader):
    """Which a server without the plug-in refuses, rather than to read them elsewhere."""
    grid = served_reader.see(PAGES[:1])[0]
    h, w, _ = grid.shape
    for method in ("token-prune", "token-lowpass"):
        page = COMPRESSORS[method].at("mild").compress(grid)
        request = chat_request(name, "What?", [page], 5)
        sent = {key: unpack(text) for key, text in request["messages"][0]["content"][0]["image_embeds"].items()}
        assert sent["image_grid_thw"].tolist() == [1, 2 * h, 2 * w]
        assert sent["image_tokens"].tolist() == [len(page.features)]
        assert torch.equal(sent["image_positions"], page.cells)
        if page.kept is not None:
            assert (page.cells @ torch.tensor([float(w), 1.0])).tolist() == page.kept.tolist()
        with pytest.raises(Refused, match="does not read image_positions"):
            client_of(server).complete(request)


def test_all_pages_of_a_request_have_the_same_tensors():
    """vLLM refuses others: a small page may be whole where a larger one is cut."""
    method = COMPRESSORS["token-prune"].at("mild")
    pages = [method.compress(torch.randn(h, w, 8)) for h, w in ((1, 1), (6, 5))]
    assert [page.kept is None for page in pages] == [True, False]
    for sent in (pages, pages[:1]):
        content = chat_request("m", "What?", sent, 5)["messages"][0]["content"][:-1]
        names = {frozenset(part["image_embeds"]) for part in content}
        assert len(names) == 1
        assert ("image_positions" in names.pop()) == (len(sent) == 2)
    first = chat_request("m", "What?", pages, 5)["messages"][0]["content"][0]["image_embeds"]
    assert unpack(first["image_positions"]).tolist() == [[0, 0]]
    assert unpack(first["image_tokens"]).tolist() == [1]


@pytest.mark.parametrize(
    "fault",
    [Fault(429), Fault(500), Fault(503), Fault(cut=True), Fault(stall_s=60.0)],
    ids=["429", "500", "503", "cut", "stalled"],
)
def test_what_passes_is_tried_again(server, name, fault):
    pauses = Pauses()
    good = ask(client_of(server), name)
    server.faulty.faults += [fault, fault]
    assert ask(client_of(server, pauses, timeout_s=3.0 if fault.stall_s else 20.0), name) == good
    first, second = pauses.asked
    assert 0.25 <= first <= 0.5 <= second <= 1.0


def test_a_connection_that_the_server_may_be_closing_is_not_used_again(server, name):
    client = client_of(server, retries=0)
    for _ in range(2):
        ask(client, name, [])
        time.sleep(IDLE_S + 0.2)
    assert len(set(server.faulty.ports)) == 2


def test_a_pause_that_the_server_asks_for_is_kept(server, name):
    pauses = Pauses()
    soon = datetime.now(UTC) + timedelta(seconds=100)
    server.faulty.faults += [
        Fault(429, {"retry-after": "7"}), Fault(503, {"retry-after": format_datetime(soon, usegmt=True)}),
    ]  # fmt: skip
    ask(client_of(server, pauses), name)
    assert pauses.asked[0] == 7
    assert 50 <= pauses.asked[1] <= 100  # less by what has passed since


@pytest.mark.parametrize("value", ["soon", "nan", "-5", "Mon, 99 Foo"])
def test_a_pause_that_is_none_is_not_kept(server, name, value):
    pauses = Pauses()
    server.faulty.faults.append(Fault(429, {"retry-after": value}))
    ask(client_of(server, pauses), name)
    assert 0.25 <= pauses.asked[0] <= 0.5


def test_pauses_grow_to_their_limit(server, name):
    pauses = Pauses()
    server.faulty.faults += [Fault(500)] * 6
    ask(client_of(server, pauses, retries=6, first_wait_s=1.0, longest_wait_s=4.0), name)
    for asked, longest in zip(pauses.asked, [1, 2, 4, 4, 4, 4], strict=True):
        assert longest / 2 <= asked <= longest


@pytest.mark.parametrize("fault", [Fault(500), Fault(cut=True), Fault(stall_s=60.0)], ids=["500", "cut", "stalled"])
def test_a_request_at_which_the_server_fails_again_and_again_is_given_up(server, name, fault):
    server.faulty.faults += [fault] * 3
    client = client_of(server, timeout_s=0.5 if fault.stall_s else 20.0)
    with pytest.raises(Refused, match="no answer in 3 tries"):
        ask(client, name)
    ask(client_of(server), name)


def test_a_gateway_with_nothing_behind_it_ends_the_run(server, name):
    """Not a request that is given up now and then."""
    client = client_of(server, retries=0)
    for given_up in (MOST_GIVEN_UP - 1, MOST_GIVEN_UP - 1):
        server.faulty.faults += [Fault(502, message="bad gateway")] * given_up
        for _ in range(given_up):
            with pytest.raises(Refused):
                ask(client, name, [])
        ask(client, name, [])
    server.faulty.faults += [Fault(502, message="bad gateway")] * MOST_GIVEN_UP
    for _ in range(MOST_GIVEN_UP - 1):
        with pytest.raises(Refused):
            ask(client, name, [])
    with pytest.raises(Interrupted, match=f"no answer to {MOST_GIVEN_UP} requests in a row, .*bad gateway"):
        ask(client, name, [])


def test_an_error_that_is_called_a_success_is_an_error(server, name):
    """As gateways do that have begun to respond before they know."""
    server.faulty.faults.append(Fault(200, body={"error": {"message": "overloaded", "code": 503}}))
    assert ask(client_of(server), name, []) == ask(client_of(server), name, [])
    for error in ({"message": "too long", "code": "long"}, {"message": "too long", "code": 400}, "too long"):
        server.faulty.faults.append(Fault(200, body={"error": error}))
        with pytest.raises(Refused, match="status 400: too long"):
            ask(client_of(server), name, [])


@pytest.mark.parametrize("fault", [Fault(stall_s=60.0), Fault(endless=True)], ids=["stalled", "endless"])
def test_an_own_engine_that_takes_too_long_ends_the_run(server, name, fault):
    """The queue is the run's own, so no sample is to blame."""
    server.faulty.faults.append(fault)
    with pytest.raises(Interrupted, match=r"no answer in 0\.5 s: give a longer --timeout, or a smaller --concurrency"):
        ask(client_of(server, timeout_s=0.5, own=True), name)


def test_an_own_engine_is_asked_past_proxies(server, name, monkeypatch):
    good = ask(client_of(server), name)
    for variable in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    assert ask(client_of(server, own=True), name) == good


def test_a_response_that_never_ends_is_given_up(server, name):
    """Each piece of it comes in time; the whole does not."""
    server.faulty.faults.append(Fault(endless=True))
    with pytest.raises(Refused, match=r"in 1 tries, the last with no answer in 0\.5 s"):
        ask(client_of(server, timeout_s=0.5, retries=0), name)


def test_a_response_that_is_too_long_is_given_up(server, name, monkeypatch):
    monkeypatch.setattr(client_module, "MOST_RESPONSE_BYTES", 1 << 20)
    server.faulty.faults.append(Fault(body="x" * (2 << 20)))
    with pytest.raises(Refused, match="more than 1 MiB"):
        ask(client_of(server, retries=0), name)


def said(content: object, **more: object) -> Fault:
    return Fault(body={"choices": [{"message": {"role": "assistant", "content": content} | more}]})


def test_what_a_server_does_not_say_is_not_known(server, name):
    client = client_of(server)
    fault = said("yes")
    for usage in ({}, None, {"prompt_tokens": "7", "completion_tokens": -1}):
        fault.body["usage"] = usage
        server.faulty.faults.append(fault)
        assert ask(client, name) == Reply("yes", None, None)
    fault.body["usage"] = {"prompt_tokens": 7}
    server.faulty.faults.append(fault)
    assert ask(client, name) == Reply("yes", 7, None)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thoughts_that_the_server_took_out_stand_before_the_answer(server, name, field):
    server.faulty.faults += [said("yes", **{field: "hm"}), said(None, **{field: "hm"}), said("", **{field: None})]
    client = client_of(server)
    assert [ask(client, name).text for _ in range(3)] == ["<think>hm</think>yes", "<think>hm", ""]


@pytest.mark.parametrize("body", [[], {}, {"choices": []}, {"choices": [{}]}, {"choices": [{"message": 3}]}, "OK"])
def test_a_response_that_is_no_completion_is_refused(server, name, body):
    server.faulty.faults.append(Fault(body=body))
    with pytest.raises(Refused, match="not a chat completion"):
        ask(client_of(server), name)
    server.faulty.faults.append(said(["parts"]))
    with pytest.raises(Refused, match="not a chat completion"):
        ask(client_of(server), name)


def ended(reason: object) -> Fault:
    return Fault(body={"choices": [{"message": {"content": "Half an ans"}, "finish_reason": reason}]})


@pytest.mark.parametrize("reason", ["abort", "error"])
def test_an_answer_that_the_server_broke_off_is_asked_for_again(server, name, reason):
    """As vLLM does with all requests under way when it is told to stop."""
    good = ask(client_of(server), name)
    server.faulty.faults += [ended(reason)] * 2
    assert ask(client_of(server), name) == good
    server.faulty.faults += [ended(reason)] * 3
    with pytest.raises(Interrupted, match=rf"no whole answer in 3 tries: .*'{reason}'"):
        ask(client_of(server), name)


@pytest.mark.parametrize(("reason", "truncated"), [("stop", False), ("length", True), ("eos", False), (None, None)])
def test_an_answer_that_ended_is_one(server, name, reason, truncated):
    server.faulty.faults.append(ended(reason))
    assert ask(client_of(server), name) == Reply("Half an ans", None, None, truncated)


def test_an_answer_that_may_not_be_whole_is_refused(server, name):
    server.faulty.faults.append(ended("content_filter"))
    with pytest.raises(Refused, match="may not be whole: its finish_reason is 'content_filter'"):
        ask(client_of(server), name)


def test_a_request_that_is_refused_is_not_tried_again(server, name):
    pauses = Pauses()
    client = client_of(server, pauses)
    with pytest.raises(Refused, match=r"status 400: .* do not fit into the model's 512"):
        ask(client, name, [noise_page(560, 1400, 3)])
    with pytest.raises(Refused, match="status 413"):
        ask(client, name, [noise_page(3000, 3000, 3)])
    assert pauses.asked == []


@pytest.mark.parametrize(
    "fault",
    [*map(Fault, (429, 401, 402, 403, 404, 301, 307)), Fault(429, {"retry-after": str(MOST_WAIT_S + 1)})],
    ids=["429", "401", "402", "403", "404", "301", "307", "a long pause"],
)
def test_what_no_other_request_would_fare_better_with_ends_the_run(server, name, fault):
    server.faulty.faults += [fault] * 3
    with pytest.raises(Interrupted, match=str(fault.status)):
        ask(client_of(server), name)


def test_a_server_that_went_away_ends_the_run(server, name):
    client = client_of(server)
    ask(client, name)
    server.stop()
    with pytest.raises(Interrupted, match="does not answer any more"):
        ask(client, name)
    with pytest.raises(FreqqError, match="no server answers at http"):
        client.served(None)
    server.start()
    ask(client, name)


def test_nothing_more_is_tried_after_a_stop(server, name):
    pauses = Pauses()
    pauses.set()
    with pytest.raises(Interrupted):
        ask(client_of(server, pauses), name)
    assert server.faulty.keys == []


def test_the_key_is_sent_and_never_shown(server, name, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    client = client_of(server)
    server.faulty.faults.append(Fault(400, message="Incorrect API key provided: sk-secret"))
    with pytest.raises(Refused, match=r"provided: \*\*\*") as caught:
        ask(client, name)
    assert server.faulty.keys == ["Bearer sk-secret"]
    assert "secret" not in f"{caught.value!r} {client.endpoint}"
    monkeypatch.setenv("OPENAI_API_KEY", "sk\nsecret")
    with pytest.raises(UserError, match="OPENAI_API_KEY") as caught:
        client_of(server)
    assert "secret" not in str(caught.value)


def test_the_servers_model_is_found(server, served_reader, name):
    client = client_of(server)
    found = client.served(None)
    assert (found.name, found.revision) == (name, f"{served_reader.revision} {served_reader.dtype}")
    assert client.served(name) == found
    with pytest.raises(UserError, match="no model 'another'"):
        client.served("another")
    other = Client(Endpoint(server.url.removesuffix("/v1")), Pauses())
    with pytest.raises(FreqqError, match=r"ends in /v1"):
        other.served(None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"url": "127.0.0.1:8000"}, "write it as http"),
        ({"url": "ftp://host/v1"}, "write it as http"),
        ({"url": "http://host:port/v1"}, "--base-url"),
        ({"url": "http://me:secret@host/v1"}, "a key belongs in"),
        ({"url": "http://host/v1?key=secret"}, "a key belongs in"),
        ({"concurrency": 0}, "--concurrency 0"),
        ({"timeout_s": 0.0}, "--timeout 0"),
        ({"timeout_s": float("inf")}, "--timeout inf"),
        ({"retries": -1}, "--retries -1"),
        ({"concurrency": 10**6}, "from 1 to 1024"),
    ],
)
def test_an_endpoint_is_checked(values, message):
    with pytest.raises(UserError, match=message) as caught:
        Endpoint(**{"url": "http://host/v1"} | values)
    assert "secret" not in str(caught.value)


def test_a_slash_at_the_end_of_a_url_is_no_part_of_it():
    assert Endpoint("http://host:8000/v1/") == Endpoint("http://host:8000/v1")


def test_a_request_has_no_field_that_a_plain_server_would_not_know():
    request = chat_request("m", "What?", PAGES, 5)
    assert set(request) == {"model", "messages", "max_tokens", "temperature", "top_p"}
    assert (request["temperature"], request["max_tokens"]) == (0.0, 5)
    sampled = chat_request("m", "What?", PAGES, 5, GLYPH)
    assert sampled["temperature"] == 1e-4
    assert (sampled["top_p"], sampled["top_k"], sampled["repetition_penalty"]) == (1.0, 50, 1.1)


def test_embeddings_have_the_form_that_vllm_takes():
    """One part a page: [tokens, channels], and one row of ``image_grid_thw``, in patches."""
    import base64
    import io

    request = chat_request("m", "What?", [whole(torch.randn(3, 5, 8))], 5)
    part, question = request["messages"][0]["content"]
    assert question == {"type": "text", "text": "What?"}
    assert part["type"] == "image_embeds"
    found = {
        key: torch.load(io.BytesIO(base64.b64decode(value)), weights_only=True)
        for key, value in part["image_embeds"].items()
    }
    assert found["image_embeds"].shape == (15, 8)
    assert found["image_grid_thw"].tolist() == [1, 6, 10]
