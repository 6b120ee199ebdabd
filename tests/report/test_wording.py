"""Numbers and differences in words."""

from dataclasses import replace

import pytest

from freqq.report import wording as w
from freqq.report.evidence import gather
from freqq.report.statistics import Estimate
from freqq.runs.settings import SAMPLED, SIZES, Settings
from tests.report.made_runs import fallen, write_run


@pytest.fixture(scope="module")
def lost(tmp_path_factory):
    """One comparison: 8 of 10 answers fell."""
    run = write_run(tmp_path_factory.mktemp("made") / "run", fallen(10, *[0.3] * 8, 0, 0))
    [found] = [c for c in gather([run]).comparisons if not c.is_baseline]
    return found


def test_a_loss_says_how_many_and_how_much(lost):
    assert w.verdict(lost).startswith("Worse: 8 of 10 answers got worse; on average 24.0 points are lost (between -")


def test_a_loss_that_the_correction_does_not_bear_out_is_a_perhaps(lost):
    text = w.verdict(replace(lost, p_holm=0.2))
    assert text.startswith("Perhaps worse: 8 of 10 answers got worse")
    assert text.endswith("with this many comparisons it may be chance")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"difference": Estimate(-0.17, -0.418, 0.068, 10), "p_value": 0.2, "p_holm": 0.2},
            "No clear difference: the true effect is between -41.8 and +6.8 points (10 samples are too few)",
        ),
        (
            {"difference": Estimate(0.0, -0.01, 0.01, 10), "p_value": 0.9, "p_holm": 0.9},
            "No clear difference: the true effect is between -1.0 and +1.0 points",
        ),
        (
            {"difference": Estimate(0.2, 0.1, 0.3, 10), "p_value": 0.01, "p_holm": 0.01, "wins": 7, "losses": 1},
            "Better: 7 of 10 answers got better; on average 20.0 points are gained (between +10.0 and +30.0 points)",
        ),
        (
            {"difference": Estimate(0.0, -0.02, 0.02, 10), "p_value": 1.0, "p_holm": 1.0, "wins": 0, "losses": 0},
            "No answer of 10 changed: a true effect is at most 2.0 points",
        ),
        (
            {"difference": Estimate(-0.3, float("nan"), float("nan"), 1), "n_paired": 1},
            "1 sample is too few to compare",
        ),
        ({"difference": None, "n_failed": 10}, "not compared: all 10 answers failed"),
        ({"difference": None, "reference_failed": 10}, "not compared: all 10 answers of baseline failed"),
        ({"difference": None, "n_shared": 0}, "not compared"),
    ],
)
def test_verdicts_are_plain(lost, change, text):
    assert w.verdict(replace(lost, **change)) == text


def test_the_power_of_a_few_samples_is_said_in_points(lost):
    assert w.power(replace(lost, detectable=0.212)) == (
        "with 10 samples, only effects of 21 points or more are likely to be detected (80 % power)"
    )


def test_what_failed_is_told_with_the_difference_if_it_counts_as_0(lost):
    failed = replace(lost, n_failed=2, n_paired=8, as_zero=Estimate(-0.3, -0.5, -0.1, 10))
    assert w.failures(failed) == (
        "2 of 10 answers failed; the comparison covers the 8 samples that both answered; if failed answers count as "
        "0, the difference is -30.0 points (between -50.0 and -10.0)"
    )
    assert w.failures(lost) == ""
    assert w.outcomes({"cut while thinking": 12, "empty": 1}, 100) == "cut while thinking: 12 of 100, empty: 1 of 100"


@pytest.mark.parametrize(
    ("found", "signed", "text"),
    [
        (Estimate(0.936, 0.901, 1.0, 9), False, ".936 [.901, 1.000]"),
        (Estimate(0.01, -0.005, 0.02, 9), True, "+.010 [-.005, +.020]"),
        (Estimate(-1.0, -1.0, 0.0, 9), True, "-1.000 [-1.000, +.000]"),
        (Estimate(0.5, float("nan"), float("nan"), 1), False, ".500"),
        (Estimate(float("nan"), float("nan"), float("nan"), 0), False, "-"),
        (None, True, "-"),
    ],
)
def test_intervals_are_set_without_leading_zeros(found, signed, text):
    assert w.estimate(found, signed) == text


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (w.percent, 0.0325, "3.25 %"), (w.percent, 0.61, "61.0 %"), (w.percent, 3.361, "336 %"),
        (w.percent, None, "-"), (w.points, -0.043, "-4.3"), (w.points, -0.0001, "0.0"),
        (w.p_value, 0.0004, "<.001"), (w.p_value, 0.0321, ".032"), (w.p_value, 0.04996, ".049"),
        (w.p_value, 0.9999, "1"), (w.p_value, None, "-"), (w.size, None, "-"), (w.size, 1234, "1.2 KB"),
        (w.size, 5.16e6, "5.2 MB"), (w.size, 4.2e9, "4.2 GB"), (w.count, 151.0, "151"),
        (w.count, 75.5, "75.5"), (w.needles, None, "all needles"), (w.needles, 1, "1 needle"),
    ],
)  # fmt: skip
def test_numbers_are_written_in_one_way(function, value, text):
    assert function(value) == text


def test_a_run_says_of_which_pages_sizes_were_counted():
    said = {sizes: w.sizes(replace(Settings(), sizes=sizes).as_json()) for sizes in SIZES}
    assert said["all"] == w.sizes({}) == ""  # as in runs that knew nothing else
    assert f"one page in {SAMPLED}" in said["sample"]
    assert "not counted" in said["none"]
    assert all(f"--sizes {sizes}" in text for sizes, text in said.items() if text)
