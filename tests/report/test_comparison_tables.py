"""Comparisons in a terminal."""

import io
from dataclasses import replace

from rich.console import Console

from freqq.report.comparison_tables import comparison_tables
from freqq.report.join import join
from tests.report.made_runs import made_rows, write_run


def shown(path, rows):
    text = io.StringIO()
    for table in comparison_tables(join([write_run(path, rows)]).comparisons):
        Console(file=text, width=100, highlight=False).print(table)
    return text.getvalue()


def test_a_dash_for_what_could_be_shown_is_explained_where_there_is_one(tmp_path):
    plain = [r for r in made_rows(20, (2,)) if r.method == "none"]
    same = [replace(r, method="token", level="mild", config_hash="m") for r in plain]
    assert "-: no answer changed or all changed alike" in shown(tmp_path / "same", plain + same)
    assert "-: no answer changed" not in shown(tmp_path / "made", made_rows(40, (2,)))
