"""Retention curves and the area between them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from freqq.report.curves import area, areas, curves
from freqq.report.evidence import gather, join
from freqq.report.html.page import _contexts, _rates
from tests.report.made_runs import made_rows, write_run

LINE = [(0.1, 0.2), (0.2, 0.4), (0.5, 0.7), (1.0, 1.0)]
HUNDREDTHS = st.integers(0, 100).map(lambda v: v / 100)
POINTS = st.lists(st.tuples(HUNDREDTHS.map(lambda v: v + 0.01), HUNDREDTHS), min_size=2, max_size=6)


def test_a_curve_that_lies_higher_by_a_tenth_retains_a_tenth_more():
    higher = [(rate, value + 0.1) for rate, value in LINE]
    assert area(higher, LINE) == pytest.approx((0.1, 1.0, 0.1))


def test_two_straight_lines_in_log_rate_by_hand():
    """From 0.1 to 1, one falls from 1 to 0 and the other stays at 0: half on average."""
    assert area([(0.1, 1.0), (1.0, 0.0)], [(0.05, 0.0), (2.0, 0.0)]) == pytest.approx((0.1, 1.0, 0.5))


def test_only_the_common_range_counts():
    low, high, difference = area([(0.1, 0.5), (0.4, 0.5)], [(0.2, 0.3), (0.9, 0.3)])
    assert (low, high, difference) == pytest.approx((0.2, 0.4, 0.2))


@pytest.mark.parametrize(
    "other", [[(2.0, 0.5), (3.0, 0.6)], [(1.0, 0.5), (3.0, 0.6)], [(0.3, 0.5)], [(0.3, 0.5), (0.3, 0.6)], []]
)
def test_there_is_no_area_without_a_common_range(other):
    assert area(LINE, other) is None
    assert area(other, LINE) is None


@given(POINTS, POINTS)
def test_the_other_way_round_it_is_the_opposite(a, b):
    one, other = area(a, b), area(b, a)
    assert (one is None) == (other is None)
    if one is not None:
        assert one[:2] == other[:2]
        assert one[2] == pytest.approx(-other[2], abs=1e-9)
        assert abs(one[2]) <= 1 + 1e-9


@given(POINTS)
def test_a_curve_has_no_area_to_itself(a):
    found = area(a, a)
    assert found is None or found[2] == pytest.approx(0, abs=1e-12)


def test_values_at_equal_rates_are_averaged():
    assert area([*LINE, (0.2, 0.0), (0.2, 0.8)], LINE) == pytest.approx((0.1, 1.0, 0.0))


def test_it_is_the_integral_of_monotone_cubics():
    from scipy.interpolate import pchip_interpolate

    a, b = LINE, [(0.15, 0.1), (0.3, 0.6), (0.8, 0.65)]
    low, high, found = area(a, b)

    def gap(x):
        return [pchip_interpolate(*np.array([(np.log(r), v) for r, v in c]).T, x) for c in (a, b)]

    whole, _ = quad(lambda x: float(np.subtract(*gap(x))), np.log(low), np.log(high), limit=200)
    assert found == pytest.approx(whole / np.log(high / low), abs=1e-6)


def test_methods_of_a_run_are_compared_on_the_rates_that_they_change(tmp_path):
    rows = []
    for row in made_rows(20, (2,)):
        if row.method == "image":
            row = replace(row, method="token-vq", level="mild", image_bytes=row.image_bytes_raw, token_bytes=9000)
            rows.append(replace(row, level="extreme", config_hash="vq-extreme", token_bytes=30000))
        rows.append(row)
    comparisons = gather([write_run(tmp_path / "run", rows)]).comparisons
    found = curves(comparisons)
    assert {(c.method, c.rate) for c in found} == {("token", "token_bytes"), ("token-vq", "token_bytes")}
    assert all(list(c.points) == sorted(c.points, key=lambda p: p[0]) and len(c.points) == 2 for c in found)
    (between,) = areas(comparisons)
    assert (between.method, between.other, between.rate) == ("token", "token-vq", "token_bytes")
    assert (between.low, between.high) == pytest.approx((9000 / 76800, 30000 / 76800))


def scored(rows, method, **levels):
    """A baseline's rows and those of a method, with this score of a right answer and these tokens at each level."""
    return [
        replace(r, method=method, level=level, config_hash=f"{method} {level}", score=score, vision_tokens=tokens)
        for level, (score, tokens) in levels.items()
        for r in rows
    ]


def test_the_levels_of_a_method_in_two_runs_are_two_curves_as_in_the_figure(tmp_path):
    """The same method with other parameters, much worse: in one curve with the first it would turn the sign."""
    base = [replace(r, score=1.0) for r in made_rows(12, (2,)) if r.method == "baseline"]
    good = scored(base, "token-lowpass", mild=(0.9, 75), aggressive=(0.8, 40))
    other = scored(base, "token-prune", mild=(0.7, 75), aggressive=(0.6, 40))
    bad = scored(base, "token-lowpass", mild=(0.3, 75), aggressive=(0.2, 40))
    one, two = write_run(tmp_path / "one", base + good + other), write_run(tmp_path / "two", base + bad)
    [alone] = areas(gather([one]).comparisons)
    assert (alone.method, alone.other, alone.difference) == ("token-lowpass", "token-prune", pytest.approx(0.2))
    found = {(a.method, a.other): a for a in areas(gather([one, two]).comparisons)}
    assert found["token-lowpass (one)", "token-prune"] == replace(alone, method="token-lowpass (one)")
    assert len(found) == 3
    [(title, own)] = _contexts(gather([one, two]))
    drawn = [entry.name for entry in _rates(0, title, own)["panels"]["legend"]]
    assert drawn == ["token-lowpass (one)", "token-prune", "token-lowpass (two)"]
    assert {name for pair in found for name in pair} == set(drawn)


def test_what_is_retained_of_an_earlier_run_is_no_point_of_the_curve_against_the_baseline(tmp_path):
    rows = made_rows(20, (2,))
    for between in areas(join([write_run(tmp_path / name, rows) for name in ("a", "b")]).comparisons):
        assert (between.method, between.other, between.difference) == ("token (a)", "token (b)", 0)
