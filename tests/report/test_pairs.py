"""One arm beside another on the same samples."""

from dataclasses import replace

import numpy as np
import pytest

from freqq.data.responses import ANSWERED
from freqq.report.evidence import gather
from freqq.report.statistics import Estimate, differences, mean_estimate
from tests.report.made_runs import BINS, failed, fallen, made_rows, write_run

ROWS = made_rows(30, (2, 4))
BASE = ("baseline", "baseline")


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    return gather([write_run(tmp_path_factory.mktemp("made") / "run", ROWS)])


def of(evidence, method="token", level="mild", needles=2):
    (found,) = [c for c in evidence.comparisons if (c.method, c.level, c.needles) == (method, level, needles)]
    return found


def close(a: Estimate, b: Estimate) -> None:
    assert (a.mean, a.low, a.high) == pytest.approx((b.mean, b.low, b.high), nan_ok=True)
    assert a.n == b.n


def scores_of(method, level, needles=(2, 4)):
    return np.array([r.score for r in ROWS if (r.method, r.level) == (method, level) and r.needles in needles])


def test_every_arm_stands_once_for_each_needle_count_and_for_all(evidence):
    arms = [BASE, ("token", "mild"), ("token", "aggressive"), ("image", "mild")]
    assert [(c.needles, c.method, c.level) for c in evidence.comparisons] == [
        (n, *a) for n in (2, 4, None) for a in arms
    ]


def test_numbers_are_those_of_the_rows(evidence):
    for needles, counts in ((2, (2,)), (4, (4,)), (None, (2, 4))):
        found = of(evidence, "token", "aggressive", needles)
        own, base = scores_of("token", "aggressive", counts), scores_of(*BASE, counts)
        close(found.score, mean_estimate(own))
        close(found.baseline, mean_estimate(base))
        change = differences([own - base])[0]
        close(found.difference, change.estimate)
        assert found.p_value == change.p_value
        assert found.retention.mean == pytest.approx(own.mean() / base.mean())
        assert (found.wins, found.losses) == (int((own > base).sum()), int((own < base).sum()))
        assert found.wins + found.ties + found.losses == found.n == found.n_paired == len(own)
        assert found.exact == pytest.approx(np.mean(own == 1))
        assert found.difference_exact == pytest.approx(found.exact - found.baseline_exact)


def test_rates_stay_apart(evidence):
    assert of(evidence).rates == pytest.approx({"image_bytes": 1, "token_bytes": 0.6, "tokens": 1})
    assert of(evidence, "image").rates == pytest.approx({"image_bytes": 3, "token_bytes": 1, "tokens": 1})


def test_parts_make_up_the_whole(evidence):
    found = of(evidence, "image")
    assert [b.name for b in found.bins] == list(BINS)
    assert sum(b.n for b in found.bins) == found.n
    assert found.macro.mean == pytest.approx(np.mean([b.score.mean for b in found.bins]))
    assert found.macro_difference.mean == pytest.approx(np.mean([b.difference.mean for b in found.bins]))


def test_sparse_and_dense_samples_stand_apart(tmp_path):
    rows = [replace(r, density=0.1 * (int(r.sample_id.split("-")[1]) % 4)) for r in ROWS]
    sparse, dense = of(gather([write_run(tmp_path / "run", rows)])).density
    assert (sparse.name, dense.name, sparse.n + dense.n) == ("sparse", "dense", 30)
    assert sparse.n > 0 < dense.n


def test_the_baseline_is_not_compared_with_itself(evidence):
    base = of(evidence, *BASE)
    assert (base.is_baseline, base.difference, base.p_value, base.verdict) == (True, None, None, None)


def test_rows_of_older_versions_call_the_baseline_none(evidence, tmp_path):
    rows = [replace(r, method="none") if r.method == "baseline" else r for r in ROWS]
    assert gather([write_run(tmp_path / "run", rows)]).comparisons == evidence.comparisons


def test_an_arm_like_the_baseline_differs_by_nothing(tmp_path):
    rows = [r for r in ROWS if r.method == "baseline"]
    rows += [replace(r, method="token", level="mild", config_hash="u") for r in rows]
    found = of(gather([write_run(tmp_path / "run", rows)]))
    assert (found.difference.mean, found.retention.mean, found.p_value) == (0, 1, 1.0)
    assert (found.wins, found.losses, found.ties, found.detectable) == (0, 0, 30, None)
    assert found.difference.low == pytest.approx(-found.difference.high, rel=5e-3)


def test_failures_are_in_no_mean_and_counted_beside_it(tmp_path):
    broken = [
        replace(r, score=0.0, exact=False, image_bytes=None, error="OSError: disk")
        if r.method == "image" and i % 2
        else r
        for i, r in enumerate(ROWS)
    ]
    found = of(gather([write_run(tmp_path / "run", broken)]), "image")
    own = {r.sample_id: r.score for r in broken if r.method == "image" and r.needles == 2 and r.error is None}
    base = {r.sample_id: r.score for r in ROWS if r.method == "baseline" and r.needles == 2}
    assert (found.n, found.n_shared, found.n_paired, found.n_failed) == (30, 30, len(own), 30 - len(own))
    assert found.score.mean == pytest.approx(np.mean(list(own.values())))
    assert found.difference.mean == pytest.approx(np.mean([own[i] - base[i] for i in own]))
    assert found.as_zero.mean == pytest.approx(np.mean([own.get(i, 0) - b for i, b in base.items()]))
    assert found.rates["image_bytes"] == pytest.approx(3)
    [failure] = found.failures
    assert (failure.error, failure.count) == ("OSError: disk", 30 - len(own))


def test_failures_of_the_baseline_make_no_method_better(tmp_path):
    """Of 60 samples the baseline fails on 12; the method loses 5 points on each."""
    rows = fallen(60, *[0.05] * 60)
    rows[:12] = failed(rows[:12])
    found = of(gather([write_run(tmp_path / "run", rows)]))
    assert found.verdict == "worse"
    assert (found.difference.mean, found.n_paired) == (pytest.approx(-0.05), 48)
    assert found.as_zero.mean == pytest.approx((12 * 0.95 - 48 * 0.05) / 60)


@pytest.mark.parametrize("side", ["arm", "baseline", "both"])
def test_an_arm_that_failed_everywhere_has_no_p_value(side, tmp_path):
    rows = fallen(8, *[0.0] * 8)
    rows = (failed(rows[:8]) if side != "arm" else rows[:8]) + (failed(rows[8:]) if side != "baseline" else rows[8:])
    found = of(gather([write_run(tmp_path / "run", rows)]))
    assert (found.difference, found.p_value, found.verdict, found.as_zero) == (None, None, None, None)
    assert found.all_failed.startswith("all 8 answers")


def test_a_baseline_of_nothing_has_no_retention(tmp_path):
    rows = [replace(r, score=0.0) if r.method == "baseline" else r for r in ROWS]
    found = of(gather([write_run(tmp_path / "run", rows)]))
    assert found.retention is None
    assert found.difference.mean == found.score.mean


def test_one_sample_leaves_intervals_open(tmp_path):
    found = of(gather([write_run(tmp_path / "run", made_rows(1, (2,)))]))
    assert np.isnan(found.difference.low)
    assert found.p_value == 1.0


def test_the_cache_is_parted_into_the_prompts_and_the_answers(tmp_path):
    """A compressed arm that writes on and on has a smaller cache of the prompt and a larger one of the answer."""
    rows = [
        replace(r, prompt_tokens=100, new_tokens=21, kv_bytes=120 * 10)
        if r.method == "baseline"
        else replace(r, prompt_tokens=50, new_tokens=201, kv_bytes=250 * 10)
        for r in ROWS
    ]
    found = gather([write_run(tmp_path / "run", rows)])
    for arm, prompt, answer in ((of(found, *BASE), 1000, 200), (of(found), 500, 2000)):
        assert arm.costs["kv_prompt_bytes"] == pytest.approx(prompt)
        assert arm.costs["kv_answer_bytes"] == pytest.approx(answer)
        assert arm.costs["kv_bytes"] == pytest.approx(prompt + answer)


def test_responses_that_are_no_answer_are_counted(tmp_path):
    rows = [replace(r, truncated=True) if r.method == "image" and r.needles == 2 else r for r in ROWS]
    found = gather([write_run(tmp_path / "run", rows)])
    assert of(found, "image").outcomes == {"cut while thinking": 30}
    assert of(found).outcomes == {}
    assert ANSWERED not in of(found, "image").outcomes


def test_a_mean_of_parts_of_which_one_has_no_answers_is_unknown(tmp_path):
    rows = [replace(r, subtask="even" if r.bin in BINS[::2] else "odd") for r in ROWS]
    rows = [*failed([r for r in rows if r.bin in BINS[1::2]]), *(r for r in rows if r.bin in BINS[::2])]
    found = of(gather([write_run(tmp_path / "run", rows)]))
    assert np.isnan([found.macro.mean, found.macro_difference.mean, found.suite.mean]).all()
    assert np.isfinite([found.score.mean, found.difference.mean]).all()
