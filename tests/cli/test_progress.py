"""Progress where there is no terminal: a line every so often, by a clock of the test's own."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.cli.progress import FIRST_LINE_S, Pace, counting


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def lines(step_s, total, before=0):
    """What is said, and when, of work that takes so long for each of its things."""
    clock = Clock()
    pace, said = Pace(clock), []
    for done in range(before, total + 1):
        if line := pace.line("answers", done, total):
            said.append((clock.now, line))
        clock.now += step_s
    return said


@given(st.floats(0.01, 60), st.integers(1, 300), st.integers(0, 5))
def test_a_log_has_a_line_every_so_often_and_not_too_many(step_s, total, before):
    said = lines(step_s, total, min(before, total))
    times = [when for when, _ in said]
    assert all(when >= FIRST_LINE_S for when in times)
    assert all(second - first >= FIRST_LINE_S for first, second in pairwise(times))
    took = step_s * (total - min(before, total))
    if took > FIRST_LINE_S + step_s:
        assert said
        assert times[0] <= FIRST_LINE_S + step_s


@given(st.floats(1, 60), st.integers(30, 100), st.integers(0, 20))
def test_what_was_there_before_takes_no_time(step_s, total, before):
    for when, line in lines(step_s, total, before):
        done = before + round(when / step_s)
        assert line.startswith(f"answers: {done} of {total}")
        seconds = step_s * (total - done)
        left = re.search(r", about ([\d.]+) (s|min|h) left$", line)
        assert left is not None
        unit = {"s": 1, "min": 60, "h": 3600}[left[2]]
        assert float(left[1]) * unit == pytest.approx(seconds, abs=0.51 * unit if unit > 1 else 0.6)


def test_short_work_says_nothing(capsys):
    with counting("answers") as report:
        for done in range(4):
            report(done, 3)
    assert capsys.readouterr() == ("", "")
