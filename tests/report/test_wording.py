"""Differences in words."""

from math import nan

import pytest

from freqq.report.statistics import Estimate
from freqq.report.wording import UNANSWERED, hedged, words


@pytest.mark.parametrize(
    ("low", "high", "changed", "text"),
    [
        (-0.098, -0.041, 60, "loses 4.1 to 9.8 points"),
        (0.012, 0.03, 60, "gains 1.2 to 3.0 points"),
        (-0.019, 0.012, 60, "no difference shown; one larger than 1.9 points can be excluded"),
        (-0.01, 0.025, 7, "no difference shown; one larger than 2.5 points can be excluded (7 of 100 changed)"),
        (0.0, 0.0, 0, "no score of 100 changes (at most 3.0 % do)"),
        (nan, nan, 1, "too few samples to say (1 of 100 changed)"),
    ],
)
def test_sign_and_size(low, high, changed, text):
    assert words(Estimate((low + high) / 2, low, high, 100), changed) == text


def test_without_a_partner_or_with_one_sample_nothing_is_said():
    assert words(None, 0) == "not compared"
    assert words(Estimate(0.1, nan, nan, 1), 1) == "too few samples to say"


def test_one_interval_of_many_is_hedged():
    loss, none = Estimate(-0.05, -0.09, -0.01, 100), Estimate(0.0, -0.01, 0.01, 100)
    assert hedged("loses", loss, (1, 9), 0.01, 20) == "loses"
    assert hedged("loses", loss, (1, 9), 0.3, 20) == "loses; chance is not ruled out among 20 comparisons"
    assert hedged("loses", loss, (1, 9), 0.06, 1) == "loses; chance is not ruled out"
    assert hedged("none", none, (1, 9), 0.3, 20) == "none"


def test_where_the_test_shows_a_difference_and_the_interval_does_not_the_words_say_why():
    loss, gain = Estimate(-0.6, -0.754, 0.02, 8), Estimate(0.6, -0.02, 0.754, 8)
    assert hedged("no difference shown", loss, (0, 8), 0.008, 1) == (
        "loses, hardly by chance (lower on 8 of 8 samples); how much is not known well, at most 75.4 points"
    )
    assert hedged("no difference shown", gain, (7, 1), 0.04, 1).startswith(
        "gains, hardly by chance (higher on 7 of 8 samples)"
    )
    assert hedged("no difference shown", loss, (0, 8), 0.06, 9) == "no difference shown"
    assert hedged(UNANSWERED, loss, (0, 8), 0.008, 1) == UNANSWERED
