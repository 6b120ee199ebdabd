"""Comparisons in a terminal."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from freqq.report.comparison_tables import comparison_tables, run_names
from freqq.report.join import join
from tests.report.made_runs import made_rows, write_run


def shown(path, rows, width=100):
    text = io.StringIO()
    for table in comparison_tables(join([write_run(path, rows)]).comparisons, width):
        Console(file=text, width=width, highlight=False).print(table)
    return text.getvalue()


def test_a_dash_for_what_could_be_shown_is_explained_where_there_is_one(tmp_path):
    plain = [r for r in made_rows(20, (2,)) if r.method == "none"]
    same = [replace(r, method="token", level="mild", config_hash="m") for r in plain]
    assert "-: no answer changed or all changed alike" in shown(tmp_path / "same", plain + same)
    assert "-: no answer changed" not in shown(tmp_path / "made", made_rows(40, (2,)))


@pytest.mark.parametrize("width", [80, 100])
def test_a_long_name_of_a_run_takes_no_room_from_the_arms(width, tmp_path):
    name = "mini-2needle_tiny_token_ultra_mild_n100_s0_1a2b3c4d"
    text = shown(tmp_path / name, made_rows(20, (2,)), width)
    below = text[text.index("needles") :]
    assert "needles" in below
    assert "aggressive" in below
    assert "p (Holm)" in below
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert any(line.split()[:2] == ["1", "2"] for line in below.splitlines())
    comparisons = join([tmp_path / name]).comparisons
    assert run_names(comparisons) == {name: "1"}
    assert run_names([replace(c, run="short") for c in comparisons]) == {"short": "short"}


@pytest.mark.parametrize("needles", [(2,), (2, 4, 8)])
def test_names_are_not_broken_inside_words(needles, tmp_path):
    text = shown(tmp_path / "a-run-of-mine", made_rows(20, needles), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "a-run" not in text.partition("arm")[2]
    words = {word for line in text.splitlines() for word in line.split()}
    assert {"token", "mild", "aggressive"} <= words
