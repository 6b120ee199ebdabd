"""``freqq report``, ``freqq compare``, ``freqq leaderboard``: on runs as an evaluation leaves them."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from freqq.cli import leaderboard as cli_leaderboard
from freqq.report import leaderboard
from freqq.report.formats import FORMATS
from tests.cli.test_app import freqq

QUICK = ("--needle", "2", "--needle", "4", "--limit", "4", "--max-new-tokens", "4")
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def runs(random_model, tmp_path_factory):
    """A run with the baseline, and one of a method alone."""
    folder = tmp_path_factory.mktemp("runs")
    options = ("eval", "--model", random_model, *QUICK)
    assert freqq(*options, "--method", "image", "--level", "mild", "--out", str(folder / "image")).exit_code == 0
    more = ("--method", "token", "--level", "all", "--no-baseline")
    assert freqq(*options, *more, "--out", str(folder / "token")).exit_code == 0
    return folder


@pytest.mark.parametrize("name", FORMATS)
def test_a_report_goes_to_standard_output_or_to_a_file(name, runs, tmp_path):
    command = ("report", str(runs / "image"), str(runs / "token"), "--format", name)
    shown = freqq(*command)
    assert shown.exit_code == 0, shown.output
    target = tmp_path / "new" / "table"
    assert freqq(*command, "--out", str(target)).stdout == ""
    assert target.read_text() == shown.stdout


@pytest.mark.parametrize(("suffix", "start"), [(".json", "{"), (".csv", "run,"), (".tex", "%"), (".md", "No")])
def test_the_file_tells_the_format(suffix, start, runs, tmp_path):
    target = tmp_path / f"table{suffix}"
    assert freqq("report", str(runs / "image"), "--out", str(target)).exit_code == 0
    assert target.read_text().startswith(start)


def test_a_run_without_a_baseline_is_paired_with_one_that_has_it(runs):
    done = freqq("report", str(runs / "image"), str(runs / "token"), "--format", "csv")
    lines = list(csv.DictReader(io.StringIO(done.stdout)))
    tokens = [line for line in lines if line["run"] == "token"]
    assert len(tokens) == 4 * 3
    assert {line["reference_run"] for line in tokens} == {"image"}
    assert all(line["n_paired"] == line["n"] and line["difference"] for line in tokens)


def test_compare_shows_tables_that_fit(runs):
    done = freqq("compare", str(runs / "image"), str(runs / "token"))
    assert done.exit_code == 0, done.output
    assert "Against baseline of image, on the samples that both answered" in done.stdout
    assert "token ultra_mild" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "…" not in done.stdout


def test_compare_as_json_names_the_reference(runs):
    command = ("compare", str(runs / "image"), str(runs / "token"), "--reference", "token:token/mild", "--json")
    found = json.loads(freqq(*command).stdout)
    assert {(c["reference_run"], c["reference"]) for c in found["comparisons"]} == {("token", "token mild")}
    assert "comparisons with token mild of token got worse" in found["headline"]


def test_the_leaderboard_ranks_all_arms(runs):
    done = freqq("leaderboard", str(runs), "--min-samples", "1")
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.splitlines())) <= 80
    boards = json.loads(freqq("leaderboard", str(runs), "--sort", "token-bytes", "--min-samples", "1", "--json").stdout)
    assert [(b["needles"], len(b["places"])) for b in boards] == [(2, 6), (4, 6)]
    rates = [place["rate_token_bytes"] for place in boards[0]["places"]]
    assert rates == sorted(rates)
    assert boards[0]["places"][0]["level"] == "extreme"


def test_notes_go_to_standard_error(runs, random_model, tmp_path):
    other = str(tmp_path / "other")
    options = ("--level", "mild", "--protocol", "glyph", "--out", other)
    assert freqq("eval", "--model", random_model, *QUICK, *options).exit_code == 0
    done = freqq("compare", str(runs / "image"), other, "--json")
    json.loads(done.stdout)
    assert "protocol is glyph, not official" in json.loads(done.stdout)["warnings"][0]
    assert "note: other is shown apart from image: protocol is glyph" in freqq(
        "compare", str(runs / "image"), other
    ).stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "{runs}/none"], "there is no run directory"),
        (["report", "{runs}"], "{runs}/*"),
        (["compare", "{runs}/image/run.json"], "is a file, not a run directory: give {runs}/image"),
        (["report", "{runs}/image", "{runs}/image"], "given 2 times"),
        (["report", "{runs}/image", "--format", "jsn"], "did you mean 'json'"),
        (["report", "{runs}/image", "--out", "/dev/null/report.md"], "cannot write"),
        (["compare", "{runs}/image", "--reference", "imag/mild"], "did you mean 'image/mild'"),
        (["leaderboard", "{runs}/none"], "no folder"),
        (["leaderboard", "{runs}", "--sort", "scores"], "did you mean 'score'"),
    ],
)
def test_wrong_input_is_one_line(arguments, message, runs):
    done = freqq(*(a.format(runs=runs) for a in arguments))
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message.format(runs=runs) in done.stderr
    assert done.stdout == ""


def test_the_orders_offered_are_those_that_there_are():
    assert cli_leaderboard.SORTS == leaderboard.SORTS


@pytest.mark.parametrize("command", ["report", "compare", "leaderboard"])
def test_help_has_an_example(command):
    assert f"Example: freqq {command} " in freqq(command, "--help").stdout


def test_results_load_with_datasets_pandas_and_duckdb(runs, tmp_path):
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(EXAMPLES / "load_results.py"), str(runs / "token")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    parts = [part.splitlines() for part in done.stdout.split("with_")[1:]]
    assert [part[0] for part in parts] == ["datasets", "pandas", "duckdb"]
    assert len(parts[0]) == 1 + 2 * 4
    assert parts[0][1:] == parts[1][1:] == parts[2][1:]
    groups = json.loads((runs / "token" / "summary.json").read_text())["groups"]
    means = {f"  {g['needles']} needles, {g['method']} {g['level']}: {g['score']['mean']:.3f}" for g in groups}
    assert set(parts[0][1:]) == means
