"""The study by one script: what it would submit, and, with the embedded model, from end to end."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from freqq.report.statistics import differences, mean_estimate
from freqq.runs.directory import RunDirectory
from freqq.runs.run import run
from freqq.runs.settings import Settings
from tests.conftest import needs_tiny

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = Path(__file__).parents[1] / "data" / "files"
GOLDEN = Path(__file__).parents[1] / "slurm" / "golden" / "study.txt"


@pytest.fixture
def study(tmp_path: Path):
    """Runs the script in an empty folder, as after an installation: the commands are on the path."""
    (tmp_path / "bin").mkdir()
    for name, command in (("freqq", "-m freqq"), ("python", "")):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\nexec {sys.executable} {command} "$@"\n')
        (tmp_path / "bin" / name).chmod(0o755)

    def start(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(EXAMPLES.parent), **variables,
        }  # fmt: skip
        command = ["bash", str(EXAMPLES / "study.sh"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)

    return start


def test_what_it_submits_is_the_golden_text(study, tmp_path):
    """Both jobs of both parts, for one number of needles, and the table of what there is: nothing yet."""
    (tmp_path / "data").mkdir()
    shutil.copy(FILES / "processed_2needle_0-128k.json", tmp_path / "data")
    done = study("--dry-run", "--partition", "gpu", "--time", "24:00:00", DATA="data", NEEDLES="2")
    assert done.returncode == 0, done.stderr
    text = done.stdout.replace(str(tmp_path), "/home/me/study").replace(sys.executable, "/opt/env/bin/python")
    assert text.partition("\nMRCR")[0] == GOLDEN.read_text()
    assert {p.name for p in tmp_path.iterdir()} == {"bin", "data"}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"DATA": "."}, "error: ./processed_2needle_0-128k.json is not there: set DATA"),
        ({"DATA": "mini", "SUBMIT": "pbs"}, "error: SUBMIT=pbs: use slurm or local"),
        ({"DATA": "mini", "NEEDLES": "3"}, "error: --needle 3: mini has 2, 4, 8 needles"),
    ],
)
def test_what_is_wrong_is_said(study, tmp_path, variables, message):
    done = study("--dry-run", **variables)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == message or done.stderr.startswith(message)
    assert {p.name for p in tmp_path.iterdir()} == {"bin"}


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_have_nothing_that_shellcheck_finds(script):
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True)
    assert done.stdout == ""


@needs_tiny
@pytest.mark.slow
def test_it_runs_with_the_embedded_model_and_goes_on_where_it_was(study, tmp_path):
    how = {
        "SUBMIT": "local", "MODEL": "tiny", "DATA": "mini", "NEEDLES": "2", "LIMIT": "2", "OUT": "out",
        "PROTOCOL": "--protocol official --max-new-tokens 8",
    }  # fmt: skip
    planned = study("--dry-run", **how)
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.count("2 samples") == 2
    assert not (tmp_path / "out").exists()
    first = study(**how)
    assert first.returncode == 0, first.stderr
    table = first.stdout[first.stdout.index("\nMRCR, %") :]
    rows = [row for part in ("image", "token") for row in RunDirectory(tmp_path / "out" / f"2needle-{part}").read()]
    arms = [(r.method, r.level) for r in rows]
    levels = ("ultra_mild", "mild", "aggressive", "extreme")
    assert set(arms) == {("baseline", "baseline"), ("image", "mild"), *(("token", level) for level in levels)}
    assert json.loads(next(r.params for r in rows if r.method == "image")) == {"block": 14, "keep": 0.5}
    assert all(row.error is None for row in rows)
    (tmp_path / "out" / "2needle-token" / "results.parquet").unlink()
    parts = {p: p.read_bytes() for p in (tmp_path / "out").rglob("parts/*.parquet")}
    again = study(**how)
    assert again.returncode == 0, again.stderr
    assert "out/2needle-image is done" in again.stdout
    assert again.stdout.endswith(table)
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("parts/*.parquet")} == parts


@pytest.fixture(scope="module")
def table():
    return runpy.run_path(str(EXAMPLES / "study_table.py"))


@pytest.fixture(scope="module")
def runs(random_model, tmp_path_factory):
    """Both parts with 2 needles, of a random model."""
    folder = tmp_path_factory.mktemp("study")
    common = Settings(model=random_model, limit=5, max_new_tokens=6)
    run(replace(common, methods=("image",), levels=("mild",)), folder / "2needle-image")
    run(replace(common, methods=("token",), levels=("mild", "extreme"), baseline=False), folder / "2needle-token")
    return folder


def test_measured_numbers_are_those_of_the_rows_paired_over_both_parts(table, runs):
    rows = table["read_rows"](runs)
    lines = {(x.needles, x.method, x.level): x for x in table["table"](rows) if not x.bin}
    plain = {r.sample_id: r.score for r in rows if r.method == "baseline"}
    for method, level in (("image", "mild"), ("token", "mild"), ("token", "extreme")):
        own = {r.sample_id: r.score for r in rows if (r.method, r.level) == (method, level)}
        found = lines[2, method, level]
        assert found.score == mean_estimate(list(own.values()))
        assert found.difference == differences([np.array([own[id] - plain[id] for id in own])])[0].estimate
        assert (found.score.n, found.failed) == (5, 0)
    assert lines[2, "baseline", "baseline"].score == mean_estimate(list(plain.values()))
    assert lines[2, "baseline", "baseline"].difference is None
    assert lines[2, "token", "aggressive"].score is lines[4, "image", "mild"].score is None


def test_published_numbers_stand_beside_them(table):
    lines = table["table"]([])
    whole = {(x.needles, x.method): x.published for x in lines if not x.bin}
    assert [whole[n, "baseline"]["study"] for n in (2, 4, 8)] == [34.98, 30.00, 18.75]
    assert [whole[n, "image"]["study"] for n in (2, 4, 8)] == [35.86, 29.25, 18.25]
    assert whole[2, "token"] == {"study": 2.79}
    assert whole[4, "token"] == whole[8, "token"] == {}
    assert [whole[n, "baseline"]["Glyph"] for n in (2, 4, 8)] == [34.85, 25.81, 18.14]
    bins = {(x.needles, x.bin): x.published["Glyph"] for x in lines if x.bin}
    assert (bins[2, "0k_8k"], bins[8, "64k_128k"], len(bins)) == (41.51, 13.51, 15)


def test_a_line_shows_what_there_is(table, runs):
    lines = table["table"](table["read_rows"](runs))
    image = next(x for x in lines if (x.needles, x.method) == (2, "image"))
    cells = table["cells"](image)
    assert cells[:4] == ["2", "image mild", "", "35.86"]
    assert cells[8] == "+0.88"
    mean, low, high = (100 * value for value in (image.score.mean, image.score.low, image.score.high))
    assert f"{mean:.2f} [{low:.2f}, {high:.2f}]" in cells
    assert table["cells"](next(x for x in lines if x.needles == 8))[5:8] == ["-", "-", "-"]


def test_json_has_the_same(runs):
    script = [sys.executable, str(EXAMPLES / "study_table.py"), str(runs), "--json"]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 3 * 6 + 15
    assert found[0]["score"]["n"] == 5
    assert found[-1]["score"] is None
