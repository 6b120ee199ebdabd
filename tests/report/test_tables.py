"""The tables that people read."""

import io

import pytest
from rich.console import Console

from freqq.report.summary import summarise
from freqq.report.tables import interval, size, tables
from tests.report.test_summary import ROWS


def shown(width, summary):
    console = Console(file=io.StringIO(), width=width)
    for table in tables(summary):
        console.print(table)
    return console.file.getvalue()


def test_numbers_of_the_summary_are_shown_with_their_intervals():
    text = shown(100, summarise(ROWS))
    assert ".700 [.550, .925]" in text
    assert "-.200 [" in text
    assert "token    mild" in text


@pytest.mark.parametrize("width", [100, 120])
def test_no_table_is_wider_than_a_window_or_cut(width):
    text = shown(width, summarise(ROWS))
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


@pytest.mark.parametrize(
    ("estimate", "signed", "text"),
    [
        ({"mean": 0.936, "low": 0.901, "high": 1.0}, False, r".936 \[.901, 1.000]"),
        ({"mean": 0.01, "low": -0.005, "high": 0.02}, True, r"+.010 \[-.005, +.020]"),
        ({"mean": -1.0, "low": -1.0, "high": 0.0}, True, r"-1.000 \[-1.000, +.000]"),
        ({"mean": 0.5, "low": None, "high": None}, False, ".500"),
        ({"mean": None, "low": None, "high": None}, False, "-"),
        (None, True, "-"),
    ],
)
def test_intervals_are_set_without_leading_zeros(estimate, signed, text):
    assert interval(estimate, signed) == text


@pytest.mark.parametrize(
    ("count", "text"), [(None, "-"), (0, "0.0 KB"), (1234, "1.2 KB"), (5.16e6, "5.2 MB"), (4.2e9, "4.2 GB")]
)
def test_sizes_have_units(count, text):
    assert size(count) == text
