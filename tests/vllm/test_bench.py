"""What a load took, from an engine's counters; and a bench against a real engine."""

import math
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.bench.figure import points, scores_of, throughput, turns_of
from freqq.bench.metrics import FIRST_TOKEN, Metrics
from freqq.bench.turns import BASELINE, Load, Turn, page_source, ratio, savings, turns
from freqq.errors import UserError
from freqq.tokens import compressor
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
    assert found.values["vllm:kv_cache_usage_perc"] == 0.75
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
