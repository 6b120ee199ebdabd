"""`freqq.evaluate` and what it returns, beside what the command line does."""

import inspect
import json
import sys

import pytest

import freqq
from freqq.errors import UserError
from tests.cli.test_app import freqq as command
from tests.command_lines import commands
from tests.conftest import needs_tiny

NAMES = {"method": ["token-prune", "image"], "level": "extreme", "limit": 4, "max_new_tokens": 8}
LINE = "eval --method token-prune,image --level extreme --limit 4 --max-new-tokens 8".split()
TIMES = ("started_at", "peak_memory_bytes")
"""Columns of a row that say when and how, besides those in ms."""

pytestmark = needs_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def result(folder):
    return freqq.evaluate(**NAMES, out=folder / "python")


@pytest.fixture(scope="module")
def typed(folder):
    """What the command line made and said."""
    done = command(*LINE, "--out", str(folder / "typed"), "--json")
    assert done.exit_code == 0, done.output
    return freqq.Evaluation(folder / "typed"), json.loads(done.stdout)


def test_rows_are_those_of_the_command_to_the_last_digit(result, typed):
    other, _ = typed
    rows, others = result.rows, other.rows
    assert rows.num_rows == 3 * 4
    assert rows.schema == others.schema
    for name in rows.schema.names:
        if "_ms" not in name and name not in TIMES:
            assert rows[name].equals(others[name]), name


def test_the_summary_is_what_the_command_prints_and_stores(result, typed):
    other, printed = typed
    assert json.loads(json.dumps(other.summary)) == printed
    assert json.loads((result.directory / "summary.json").read_text()) == json.loads(json.dumps(result.summary))
    for group, same in zip(result.summary["groups"], printed["groups"], strict=True):
        assert (group["method"], group["score"], group["n"]) == (same["method"], same["score"], same["n"])


def test_reports_are_those_of_the_command(result, folder):
    for name in ("md", "csv", "json", "tex", "html"):
        file = folder / f"python.{name}"
        assert result.report(file) == file.read_text("utf-8")
        assert command("report", str(result.directory), "--out", str(folder / f"typed.{name}")).exit_code == 0
        assert file.read_bytes() == (folder / f"typed.{name}").read_bytes()
    assert result.report(format="md", columns=["method", "score"]).count("| image |") == 1
    with pytest.raises(UserError, match="--columns is for the formats md and latex, not html"):
        result.report(columns=["method"])
    with pytest.raises(UserError, match="did you mean 'latex'"):
        result.report(format="latx")


def test_a_data_frame_needs_pandas_and_says_so(result, monkeypatch):
    frame = result.to_pandas()
    assert frame.to_dict("list")["response"] == result.rows["response"].to_pylist()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        result.to_pandas()


def test_runs_are_compared_as_by_the_command(result, typed, folder):
    found = freqq.compare(result, str(folder / "typed"), reference="image/extreme")
    shown = command("compare", str(folder / "python"), str(folder / "typed"), "--reference", "image/extreme", "--json")
    printed = json.loads(shown.stdout)
    assert (printed["headline"], printed["warnings"]) == (found.headline, list(found.warnings))
    assert [c["score"] for c in printed["comparisons"]] == [c.score.mean for c in found.comparisons]


def test_the_same_call_continues_and_a_larger_limit_adds(result, folder):
    told, counted = [], []
    out = folder / "growing"
    freqq.evaluate(level="baseline", limit=1, max_new_tokens=4, out=out)
    made = freqq.evaluate(
        level="baseline", limit=2, max_new_tokens=4, out=out, note=told.append,
        progress=lambda done, total: counted.append((done, total)),
    )  # fmt: skip
    assert made.rows.num_rows == 2
    assert counted == [(1, 2), (2, 2)]
    assert "grows from 1 to 2 samples" in told[0]


def test_a_part_of_a_run_is_merged_before_it_has_rows(folder):
    out = folder / "parts"
    first = freqq.evaluate(level="baseline", limit=2, max_new_tokens=4, out=out, shard="0/2")
    with pytest.raises(UserError, match=r"stopped at 1 of 2 answers: continue with freqq eval"):
        _ = first.rows
    freqq.evaluate(level="baseline", limit=2, max_new_tokens=4, out=out, shard="1/2")
    with pytest.raises(UserError, match="not merged yet: run freqq runs merge"):
        _ = first.rows
    assert command("runs", "merge", str(out)).exit_code == 0
    assert first.rows.num_rows == 2


def test_the_options_are_those_of_the_command():
    """Save what only says how to print."""
    typed = {p.name: p.default for p in dict(commands())[("eval",)].params}
    own = {n: p.default for n, p in inspect.signature(freqq.evaluate).parameters.items()}
    assert set(typed) - set(own) == {"dry_run", "as_json"}
    assert set(own) - set(typed) == {"progress", "note"}
    for name in set(own) & set(typed):
        assert (typed[name] or None) == ((list(own[name]) if isinstance(own[name], tuple) else own[name]) or None), name


def test_wrong_options_are_refused_before_anything_starts(tmp_path):
    with pytest.raises(TypeError, match="methd"):
        freqq.evaluate(methd="token", out=tmp_path / "run")
    with pytest.raises(UserError, match="did you mean 'token'"):
        freqq.evaluate(method="tokn", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
