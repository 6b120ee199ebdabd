"""Runs joined by sample."""

import random
from dataclasses import replace

import pytest

from freqq.errors import UserError
from freqq.report.evidence import gather
from freqq.report.join import join
from tests.report.made_runs import made_rows, write_run

ROWS = made_rows(30, (2, 4))


def run(folder, name, methods, rows=ROWS, **description):
    return write_run(folder / name, [r for r in rows if r.method in methods], **description)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [run(folder, "plain", ["none"]), run(folder, "tokens", ["token"]), run(folder, "images", ["none", "image"])]


def key(c):
    return c.method, c.level, c.needles


def test_arms_of_other_runs_are_compared_as_within_one(runs, tmp_path):
    whole = {key(c): c for c in gather([write_run(tmp_path / "whole", ROWS)]).comparisons if not c.is_plain}
    found = {key(c): c for c in join(runs[:2]).comparisons}
    assert set(found) == {k for k in whole if k[0] == "token"}
    for k, c in found.items():
        assert c.difference.mean == pytest.approx(whole[k].difference.mean)
        assert (c.difference.low, c.difference.high) == pytest.approx(
            (whole[k].difference.low, whole[k].difference.high)
        )
        assert (c.p_value, c.wins, c.n_paired) == (whole[k].p_value, whole[k].wins, whole[k].n)
        assert (c.run, c.plain_run, c.reference) == ("tokens", "plain", "no compression")


def test_the_same_arm_of_two_runs_differs_by_nothing(runs):
    again = [c for c in join(runs).comparisons if c.run == "images" and c.is_plain]
    assert [c.needles for c in again] == [2, 4, None]
    assert all((c.plain_run, c.difference.mean, c.p_value, c.losses) == ("plain", 0, 1, 0) for c in again)


def test_an_arm_that_two_runs_have_is_compared_between_them(runs, tmp_path):
    later = [replace(r, score=max(0.0, r.score - 0.1)) if r.method == "token" else r for r in ROWS]
    found = join([*runs[:2], run(tmp_path, "later", ["token"], later)]).comparisons
    pairs = {(c.run, c.plain_run, c.reference) for c in found if c.plain_run != "plain"}
    assert pairs == {("later", "tokens", "token mild"), ("later", "tokens", "token aggressive")}
    assert all(c.wins == 0 for c in found if c.plain_run == "tokens")


@pytest.mark.parametrize(
    ("reference", "run_name", "name"),
    [
        (None, "plain", "no compression"),
        ("none/baseline", "plain", "no compression"),
        ("images", "images", "no compression"),
        ("tokens:token/mild", "tokens", "token mild"),
    ],
)
def test_any_arm_can_be_the_reference(reference, run_name, name, runs):
    found = join(runs, reference)
    first = found.comparisons[0]
    assert (first.plain_run, first.reference) == (run_name, name)
    assert found.headline.startswith(f"Against {name} of {run_name}, ")
    assert not any((c.run, c.arm) == (run_name, name) for c in found.comparisons)


def test_without_a_plain_arm_the_first_arm_is_the_reference(runs):
    assert {c.reference for c in join(runs[1:2]).comparisons} == {"token mild"}


def test_an_unknown_reference_names_the_nearest(runs):
    with pytest.raises(UserError, match="did you mean 'tokens:token/mild'"):
        join(runs, "tokens:token/mld")


def test_swapping_the_sides_turns_the_difference_round(runs):
    one = {c.needles: c for c in join(runs, "tokens:token/mild").comparisons if c.method == "image"}
    other = {
        c.needles: c for c in join(runs, "images:image/mild").comparisons if (c.method, c.level) == ("token", "mild")
    }
    for needles in (2, 4, None):
        a, b = one[needles], other[needles]
        assert a.difference.mean == pytest.approx(-b.difference.mean)
        assert a.p_value == b.p_value
        assert (a.wins, a.ties, a.losses) == (b.losses, b.ties, b.wins)


def test_the_order_of_later_runs_changes_no_number(runs):
    def numbers(found):
        return sorted(repr(replace(c, context=0)) for c in found.comparisons)

    assert numbers(join(runs)) == numbers(join([runs[0], runs[2], runs[1]]))


def test_what_is_not_shared_is_said(runs, tmp_path):
    half = run(tmp_path, "half", ["token"], [r for r in ROWS if r.needles == 2])
    some = run(tmp_path, "some", ["none"], random.Random(0).sample([r for r in ROWS if r.needles == 2], 60))
    assert join([runs[0], half]).warnings == ()
    shared = join([some, half])
    (note,) = shared.warnings
    assert note.startswith("some has ")
    assert note.endswith("of the 30 samples of half")
    assert all(c.n_paired < c.n == 30 for c in shared.comparisons)


def test_runs_that_differ_are_named_and_shown_apart(runs, tmp_path):
    other = run(tmp_path, "other", ["none", "token"], data_revision="mini-2")
    found = join([*runs[:2], other])
    assert "other is shown apart from plain: data_revision is mini-2, not mini-1" in found.warnings
    for c in found.comparisons:
        assert (c.run == "other") == (c.plain_run == "other") == (c.context == 1)
    lone = run(tmp_path, "lone", ["token"], model_revision="m2")
    found = join([runs[0], lone])
    assert "lone has no plain arm to be compared with: its arms stand alone" in found.warnings
    assert all(c.difference is None for c in found.comparisons)
