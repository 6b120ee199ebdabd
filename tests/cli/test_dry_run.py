"""``freqq eval --dry-run``."""

import json
import subprocess
import sys

import pytest

from freqq.cli.dry_run import duration
from tests.cli.test_app import freqq

QUICK = ("--limit", "3", "--max-new-tokens", "4", "--level", "mild")


def test_it_shows_what_a_run_would_do_and_leaves_nothing(random_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = freqq("eval", "--model", random_model, *QUICK, "--method", "token-prune", "--dry-run")
    assert done.exit_code == 0, done.output
    for text in ("3 samples", "a context of 512 tokens", "weights 630.7 KB (float32)", "token-prune", "are free"):
        assert text in done.stdout
    assert "time    unknown: no earlier run" in done.stdout
    assert "cannot work" not in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("shard", "samples"), [("0/2", 2), ("1/2", 1), ("3/4", 0)])
def test_of_a_shard_it_shows_what_that_would_do(random_model, tmp_path, shard, samples):
    command = ("eval", "--model", random_model, *QUICK, "--shard", shard, "--out", str(tmp_path / "run"))
    done = freqq(*command, "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["samples"] == samples
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_work_is_shown_with_its_reasons_and_is_exit_code_2(random_model, tmp_path):
    command = ("eval", "--model", random_model, *QUICK, "--method", "token-vq", "--gpus", "99", "--dry-run")
    done = freqq(*command, "--out", str(tmp_path / "run"))
    assert done.exit_code == 2
    lines = [line for line in done.stdout.splitlines() if line.startswith("cannot work: ")]
    assert [("--gpus 99" in line, "token-vq mild: no codebook" in line) for line in lines] == [
        (True, False),
        (False, True),
    ]
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("(and 1 more)\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("method", "code"), [("token", 0), ("token-vq", 2)])
def test_json_is_all_of_it(random_model, tmp_path, method, code):
    command = ("eval", "--model", random_model, *QUICK, "--method", method, "--dry-run", "--json")
    done = freqq(*command, "--out", str(tmp_path / "run"))
    assert done.exit_code == code
    found = json.loads(done.stdout)
    assert found["works"] == (code == 0)
    assert [(a["method"], a["works"]) for a in found["arms"]] == [("baseline", True), (method, code == 0)]
    assert [r["arms"] for r in found["reasons"]] == ([] if code == 0 else [["token-vq mild"]])
    assert found["samples"] == found["counted"] == 3
    assert found["disk"]["free"] > found["disk"]["most"] > found["disk"]["least"] > 0
    assert set(found["arms"][0]["prompts"]) == {"least", "median", "most"}


def test_no_model_class_is_asked_for(random_model, tmp_path):
    """The classes of models take seconds to import, and weights gigabytes: neither happens."""
    code = (
        "import sys; from typer.testing import CliRunner; from freqq.cli.app import app\n"
        f"done = CliRunner().invoke(app, ['eval', '--model', {random_model!r}, '--limit', '1', '--dry-run',"
        f" '--out', {str(tmp_path / 'run')!r}])\n"
        "print(done.exit_code, 'transformers.models.glm4v.modeling_glm4v' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "0 False", done.stderr


def test_a_dry_run_after_the_dashes_would_submit_jobs_that_do_nothing():
    done = freqq("slurm-submit", "--dry-run", "--", "--dry-run")
    assert done.exit_code == 2
    assert "leave --dry-run out after --: give --check before --" in done.stderr


def test_json_of_a_submission_is_for_its_check():
    done = freqq("slurm-submit", "--json", "--dry-run")
    assert done.exit_code == 2
    assert "--json is for --check" in done.stderr


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (3.21, "3.2 s"), (61, "61 s"), (600, "10 min"), (7200, "2.0 h")],
)
def test_times_are_in_the_unit_that_suits_them(seconds, text):
    assert duration(seconds) == text
