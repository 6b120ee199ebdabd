"""What is printed beside a result while it is made."""

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
    assert capsys.readouterr().err == ""
