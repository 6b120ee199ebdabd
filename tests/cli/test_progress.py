"""What is printed beside a result while it is made."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.cli import progress


@given(st.lists(st.floats(0.01, 1e4), max_size=300))
def test_lines_of_progress_are_neither_many_nor_rare(durations: list[float]) -> None:
    """Between two lines pass 10 s, or a tenth of all the time so far; and what is printed late is printed at once."""
    now = [0.0]
    lines, last = progress.ProgressLines(lambda: now[0]), 0.0
    for took in durations:
        now[0] += took
        apart = max(progress.FIRST_LINE_S, progress.LINE_SHARE * last)
        due = lines.due()
        if abs(now[0] - last - apart) > 1e-6:
            assert due == (now[0] - last > apart)
        last = now[0] if due else last


@pytest.mark.parametrize(("total", "shown"), [(3, "reading: 2 of 3"), (None, "reading: 2")])
def test_without_a_terminal_a_long_count_says_how_far_it_is(total, shown, monkeypatch, capsys):
    due = iter([False, True, False])
    monkeypatch.setattr(progress.ProgressLines, "due", lambda self: next(due))
    assert list(progress.counted(iter("abc"), total, "reading")) == ["a", "b", "c"]
    assert capsys.readouterr().err.splitlines() == [shown]


def test_what_is_done_at_once_says_nothing(capsys):
    assert list(progress.each("abc", "reading")) == ["a", "b", "c"]
    with progress.counted_then(3, "reading", "learning") as count:
        assert list(count("abc")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def lines(step_s, total, before=0):
    """What is said, and when, of work that takes so long for each of its things."""
    clock = Clock()
    pace, said = progress.Pace(clock), []
    for done in range(before, total + 1):
        if line := pace.line("answers", done, total):
            said.append((clock.now, line))
        clock.now += step_s
    return said


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
    with progress.counting("answers") as report:
        for done in range(4):
            report(done, 3)
    assert capsys.readouterr() == ("", "")
