"""How often intervals hold the true value, in the simulation of ``examples/interval_coverage.py``."""

import os
import runpy
from pathlib import Path

import pytest

from freqq.report.statistics import differences, means

EXAMPLES = Path(__file__).parents[2] / "examples"
SIMULATION = runpy.run_path(str(EXAMPLES / "interval_coverage.py"))
KINDS, SCORES, SIZES, covered = (SIMULATION[name] for name in ("DIFFERENCES", "SCORES", "SIZES", "covered"))
NOISE = 0.006
"""Two standard deviations of a coverage of 95 % that 4,000 experiments are asked for."""

FULL = pytest.mark.skipif("FREQQ_COVERAGE" not in os.environ, reason="minutes: set FREQQ_COVERAGE to run it")


@pytest.mark.parametrize(("kind", "n"), [("20 % redrawn", 40), ("4 % lose", 100), ("1 % right, 4 % wrong", 100)])
def test_about_19_of_20_intervals_hold_the_truth(kind, n):
    held, _ = covered(KINDS[kind], n, 500, differences)
    assert 0.92 <= held <= 0.985


@FULL
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_at_least_93_of_100_do_and_no_more_than_97_where_tests_are_not_coarse(kind, n):
    held, changed = covered(KINDS[kind], n, 4000, differences)
    assert held >= 0.93 - NOISE
    if n >= 40 and changed >= 5:
        assert held <= 0.97 + NOISE


@FULL
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kind", SCORES)
def test_so_do_those_of_scores(kind, n):
    assert covered(SCORES[kind], n, 4000, means)[0] >= 0.93 - NOISE


def test_the_table_that_is_kept_says_the_same():
    lines = (EXAMPLES / "results" / "interval_coverage.md").read_text().splitlines()
    rows = {cells[1].strip(): cells[2:-1] for line in lines if len(cells := line.split("|")) > 3}
    assert set(KINDS) | set(SCORES) <= set(rows)
    found = {name: [float(cell.split()[0]) for cell in rows[name]] for name in (*KINDS, *SCORES)}
    assert min(value for own in found.values() for value in own) >= 93
    assert max(found["50 % redrawn"][1:]) <= 97
