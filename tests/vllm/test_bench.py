"""What a load took, from an engine's counters; and a bench against a real engine."""

import math
import re
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.bench.figure import points, scores_of, throughput, turns_of
from freqq.bench.metrics import FIRST_TOKEN, KV_USAGE, Metrics
from freqq.bench.turns import BASELINE, Load, Turn, _Usage, page_source, ratio, savings, turns
from freqq.errors import Interrupted, UserError
from freqq.serve.endpoint import Endpoint
from freqq.serve.engine import free_port
from freqq.serve.reply import Served
from freqq.tokens import compressor
from tests.cli.test_app import freqq
from tests.serve.test_engine import Scripted
from tests.vllm.conftest import needs_vllm

TEXT = """# HELP vllm:time_to_first_token_seconds Histogram.
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.5",model_name="m"} 2.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="1.0",model_name="m"} 6.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 8.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 8.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} 8.4
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
"""


def test_counters_are_read_and_summed():
    found = Metrics.parse(TEXT)
    assert found.values["vllm:kv_cache_usage_perc"] == 0.5  # a fraction of each engine's own: the fullest counts
    assert found.mean(FIRST_TOKEN) == pytest.approx(1.05)
    assert found.quantile(FIRST_TOKEN, 0.5) == pytest.approx(0.75)
    assert found.quantile(FIRST_TOKEN, 0.25) == pytest.approx(0.5)
    assert found.quantile(FIRST_TOKEN, 0.99) == 1.0  # beyond the last edge nothing is known
    nothing = found.since(found)
    assert math.isnan(nothing.mean(FIRST_TOKEN))
    assert math.isnan(nothing.quantile(FIRST_TOKEN, 0.5))
    assert found.since(Metrics()).quantile(FIRST_TOKEN, 0.5) == found.quantile(FIRST_TOKEN, 0.5)


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), min_size=2, max_size=6))
def test_a_ratio_lies_in_its_interval_and_turns_round(pairs):
    mean, low, high = ratio(pairs)
    assert low <= mean * (1 + 1e-9)
    assert mean <= high * (1 + 1e-9)
    back = ratio([(b, a) for a, b in pairs])
    assert back[0] == pytest.approx(1 / mean)
    assert (back[1], back[2]) == (pytest.approx(1 / high), pytest.approx(1 / low))


def turn(method: str, repeat: int, answers_per_s: float) -> Turn:
    return Turn(method, "mild", repeat, 4, 1.0, answers_per_s, 100.0, 0.5, 0.9, 1 / answers_per_s, 0.01, 0.2, 0.0)


def test_a_method_is_held_against_no_compression_of_the_same_turn():
    """So a machine that slows down shows in no ratio."""
    found = [turn(m, i, speed / (i + 1)) for i in range(3) for m, speed in ((BASELINE, 2.0), ("token-prune", 3.0))]
    plain, pruned = savings(found)
    assert plain.throughput == pytest.approx((1, 1, 1))
    assert pruned.throughput == pytest.approx((1.5, 1.5, 1.5))
    assert pruned.first_token == pytest.approx((2 / 3, 2 / 3, 2 / 3))


def test_pages_are_full_and_new():
    source = page_source(0)
    first, second = next(source), next(source)
    assert first.sha256 != second.sha256
    assert first.pixels.shape == second.pixels.shape == (842, 595)
    assert len(first.text.splitlines()) == len(second.text.splitlines()) > 70
    assert next(page_source(0)).sha256 == first.sha256


@pytest.mark.parametrize("rate", [0, -1, math.nan])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(UserError, match=r"--request-rate .*: give requests a second, above 0"):
        Load(rate=rate)


class Clients:
    """In place of a client: each answer takes a moment, and how many wait for one is counted."""

    endpoint = Endpoint("http://127.0.0.1:1/v1")

    def __init__(self, failing: int | None = None) -> None:
        self.requests: list[dict] = []
        self.failing = failing
        self.waiting = self.most = 0
        self._lock = threading.Lock()

    def complete(self, request):
        with self._lock:
            self.requests.append(request)
            self.waiting += 1
            self.most = max(self.most, self.waiting)
        if self.failing is not None and len(self.requests) > self.failing:
            raise Interrupted("the server is gone")
        time.sleep(0.3)
        with self._lock:
            self.waiting -= 1


@pytest.fixture
def unmeasured(monkeypatch):
    """Without an engine's counters."""
    monkeypatch.setattr(Metrics, "read", classmethod(lambda cls, server: cls()))


ARMS = [(BASELINE, "baseline", None), ("token-prune", "mild", compressor("token-prune").at("mild"))]


def test_requests_of_a_rate_wait_for_no_other(unmeasured):
    list(turns(client := Clients(), "m", ARMS[:1], Load(20, 1, 1, rate=1000.0), 1))
    assert client.most == 20
    list(turns(client := Clients(), "m", ARMS[:1], Load(6, 1, 1, concurrency=2), 1))
    assert client.most == 2
    with pytest.raises(UserError, match="--requests 1025: with --request-rate give at most 1024"):
        Load(1025, rate=1.0)


def test_the_baseline_is_asked_for_without_the_servers_default_method(unmeasured):
    list(turns(client := Clients(), "m", ARMS, Load(1, 1, 1), 1))
    asked = [request["mm_processor_kwargs"]["freqq"]["method"] for request in client.requests]
    assert sorted(asked) == ["none"] * 2 + ["token-prune"] * 2


def test_a_look_at_the_cache_that_fails_is_not_the_last(monkeypatch):
    """A busy server may miss one."""
    looks = iter([OSError("reset"), 0.2, OSError("timed out"), 0.9, *[0.1] * 1000])

    def read(server):
        if isinstance(look := next(looks), OSError):
            raise look
        return Metrics({KV_USAGE: look})

    monkeypatch.setattr(Metrics, "read", read)
    monkeypatch.setattr("freqq.bench.turns.POLL_S", 0.001)
    with _Usage(Clients.endpoint) as usage:
        while usage.most != 0.9:
            time.sleep(0.001)
    looks = iter([OSError("gone")] * 1000)
    with _Usage(Clients.endpoint) as usage:
        pass
    assert math.isnan(usage.most)


def test_a_server_that_does_not_tell_the_use_of_its_cache_leaves_it_unknown(monkeypatch):
    looks = iter([Metrics(), Metrics({KV_USAGE: 0.2}), *[Metrics()] * 1000])
    monkeypatch.setattr(Metrics, "read", lambda server: next(looks))
    monkeypatch.setattr("freqq.bench.turns.POLL_S", 0.001)
    with _Usage(Clients.endpoint) as usage:
        while usage.most != 0.2:
            time.sleep(0.001)
    assert usage.most == 0.2
    with _Usage(Clients.endpoint) as usage:
        pass
    assert math.isnan(usage.most)


def bench(*arguments: str):
    return freqq("bench", "--base-url", "http://127.0.0.1:1/v1", "--pages", "1", "--requests", "1", *arguments)


@pytest.fixture
def reached(monkeypatch):
    """A server that is there and takes methods."""
    monkeypatch.setattr("freqq.serve.client.Client.served", lambda self, name: Served("m", ""))
    monkeypatch.setattr("freqq.serve.plugin.why_not", lambda client, name: None)
    monkeypatch.setattr("freqq.serve.plugin.check_methods", lambda client, name, methods: None)


@pytest.mark.usefixtures("unmeasured", "reached")
def test_turns_before_one_that_failed_are_written(monkeypatch, tmp_path):
    client = Clients(failing=2 + 3)  # after the warm-up and three turns of the next two repeats
    monkeypatch.setattr("freqq.serve.client.Client.complete", lambda self, request: client.complete(request))
    done = bench("--repeats", "3", "--out", str(tmp_path / "bench.parquet"))
    assert done.exit_code == 75
    written = turns_of(pq.read_table(tmp_path / "bench.parquet").to_pylist())
    assert [(t.method, t.repeat) for t in written] == [(BASELINE, 0), ("token-prune", 0), ("token-prune", 1)]
    assert [(s.method, s.throughput[0] > 0) for s in savings(written)] == [(BASELINE, True), ("token-prune", True)]


def test_a_rate_and_a_concurrency_exclude_each_other():
    done = bench("--concurrency", "2", "--request-rate", "3")
    assert done.exit_code == 2
    assert "--concurrency and --request-rate exclude each other" in done.stderr


def test_what_an_engine_said_that_does_not_start_can_be_read(monkeypatch, random_model):
    fails = "raise SystemExit('RuntimeError: no memory for the model')"
    monkeypatch.setattr("freqq.runs.served.engine_for", lambda *_: Scripted(Path(), fails, "float32", port=free_port()))
    done = freqq("bench", "--model", random_model)
    assert done.exit_code == 1
    log = Path(re.search(r"see (\S+\.log): RuntimeError: no memory", done.stderr)[1])
    assert "no memory for the model" in log.read_text()
    log.unlink()


def table(turns):
    return [asdict(turn) | {"load_pages": 4} for turn in turns]


def test_a_point_is_a_method_that_was_benched_and_scored():
    arms = {(BASELINE, "baseline"): 2.0, ("token-prune", "mild"): 3.0, ("token-pool", "mild"): 4.0}
    found = [replace(turn(m, i, speed), level=level) for i in range(3) for (m, level), speed in arms.items()]
    rows = [
        {"method": m, "level": level, "score": score, "error": error}
        for m, level, score, error in [
            (BASELINE, "baseline", 1.0, None), (BASELINE, "baseline", 0.5, None), ("token-prune", "mild", 0.5, None),
            ("token-prune", "mild", None, "OutOfMemory"), ("token-merge", "mild", 0.5, None),
        ]
    ]  # fmt: skip
    scores = scores_of(rows)
    assert scores == {
        (BASELINE, "baseline"): [1.0, 0.5],
        ("token-prune", "mild"): [0.5],
        ("token-merge", "mild"): [0.5],
    }
    own = points(turns_of(table(found)), {key: (sum(v) / len(v), 0.0, 1.0) for key, v in scores.items()})
    assert [(p.method, p.score[0]) for p in own] == [(BASELINE, 0.75), ("token-prune", 0.5)]
    assert own[1].throughput == pytest.approx((1.5, 1.5, 1.5))
    axes = throughput(own, "title").axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [BASELINE, "token-prune"]
    with pytest.raises(UserError, match="fewer than two methods in common"):
        points(found, {(BASELINE, "baseline"): (1.0, 1.0, 1.0)})
    with pytest.raises(UserError, match="no column 'wall_s'"):
        turns_of([{k: v for k, v in row.items() if k != "wall_s"} for row in table(found)])


@needs_vllm
def test_half_of_the_tokens_are_half_of_the_prompt(server):
    arms = [(BASELINE, "baseline", None), ("token-prune", "mild", compressor("token-prune").at("mild"))]
    found = list(turns(server.client, "tiny", arms, Load(2, 1, 2, 2), 1))
    assert [t.method for t in found] == [BASELINE, "token-prune"]
    plain, pruned = found
    assert 0.4 < pruned.prompt_tokens / plain.prompt_tokens < 0.6
    assert all(t.answers_per_s > 0 for t in found)
    # A gauge that is looked at ten times a second may miss so short a turn.
    assert all(0 <= t.kv_usage_most <= 1 for t in found)
