"""Groups of a run."""

import json

import pytest

from freqq.report.summary import summarise, write_summary
from tests.runs.test_schema import make_row


def row(sample, method="none", level="baseline", **columns):
    return make_row(sample_id=f"s-{sample}", method=method, level=level, config_hash=f"{method}/{level}", **columns)


ROWS = [
    row(0, score=1.0, exact=True, density=0.1, kv_bytes=100),
    row(1, score=0.5, density=0.2, kv_bytes=200),
    row(2, score=0.6, density=0.3, kv_bytes=300),
    row(3, score=0.7, density=0.4, kv_bytes=400),
    # In another order, and one failed after its pages were measured.
    row(3, "token", "mild", score=0.6, density=0.4, kv_bytes=300, token_bytes=10),
    row(0, "token", "mild", score=0.8, density=0.1, kv_bytes=100, token_bytes=30),
    row(1, "token", "mild", density=0.2, error="OSError: disk"),
    row(2, "token", "mild", score=0.6, density=0.3, kv_bytes=200, token_bytes=20),
]


@pytest.fixture(scope="module")
def groups():
    return summarise(ROWS)["groups"]


def test_groups_keep_the_order_of_the_rows(groups):
    assert [(g["needles"], g["method"], g["level"]) for g in groups] == [(2, "none", "baseline"), (2, "token", "mild")]


def test_failures_count_as_zero_and_are_shown(groups):
    token = groups[1]
    assert (token["n"], token["n_failed"], token["first_error"]) == (4, 1, "OSError: disk")
    assert token["score"]["mean"] == pytest.approx((0.6 + 0.8 + 0 + 0.6) / 4)
    assert "first_error" not in groups[0]


def test_differences_are_paired_by_sample(groups):
    assert groups[0]["difference"] is None
    assert groups[1]["difference"]["mean"] == pytest.approx((-0.1 - 0.2 - 0.5 + 0.0) / 4)
    assert groups[1]["difference"]["n"] == 4


def test_costs_are_means_of_what_did_not_fail(groups):
    assert groups[0]["kv_bytes"] == 250
    assert groups[1]["kv_bytes"] == 200
    assert groups[1]["token_bytes"] == 20
    assert groups[1]["image_bytes"] is None


def test_sparse_and_dense_samples_stand_apart_and_add_up(groups):
    for group in groups:
        assert group["density_median"] == pytest.approx(0.25)
        assert group["sparse"]["n"] + group["dense"]["n"] == group["n"]
    assert groups[0]["sparse"]["score"]["mean"] == pytest.approx(0.75)
    assert groups[1]["dense"]["difference"]["mean"] == pytest.approx(-0.05)


def test_needle_counts_have_their_own_baseline():
    rows = [*ROWS, *(row(i, needles=4, score=0.1, density=0.5) for i in range(3))]
    rows += [row(i, "token", "mild", needles=4, score=0.2, density=0.5) for i in range(3)]
    found = {(g["needles"], g["method"]): g for g in summarise(rows)["groups"]}
    assert found[4, "token"]["difference"]["mean"] == pytest.approx(0.1)
    assert found[4, "none"]["sparse"]["n"] == 0


def test_a_run_without_the_plain_arm_has_no_differences():
    assert all(g["difference"] is None for g in summarise(ROWS[4:])["groups"])


def test_the_file_is_plain_json(tmp_path):
    lone = [row(0, score=0.5, density=0.5)]
    assert write_summary(tmp_path, lone) == json.loads((tmp_path / "summary.json").read_text())
    assert json.loads((tmp_path / "summary.json").read_text())["groups"][0]["score"]["low"] is None
