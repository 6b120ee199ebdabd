"""``freqq doctor``."""

import json
import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

import freqq
from freqq.cli.app import app
from freqq.glm.families import families
from freqq.runs.checkup import checkup

ROOT = Path(freqq.__file__).parents[1]


def run(*arguments):
    return CliRunner().invoke(app, ["doctor", *arguments], prog_name="freqq")


def test_what_is_here_is_shown():
    done = run()
    assert done.exit_code == 0, done.stderr
    for finding in checkup():
        assert f" {finding.name} " in done.stdout
        assert finding.remedy.split(",")[0] in done.stdout


def test_each_family_says_what_to_call_its_models_and_what_works_with_them():
    models = {one["name"]: one for one in json.loads(run("--json").stdout) if one["topic"] == "models"}
    for family in families().values():
        assert models[family.name]["state"] == "ok"
        assert all(name in models[family.name]["found"] for name in family.short_names)
    assert models["GLM-4.1V"]["found"].endswith(": all methods, adapters, token methods within vLLM, too")
    assert models["InternVL"]["found"].endswith(": all methods, token methods within vLLM, too")


def test_as_json():
    found = json.loads(run("--json").stdout)
    assert {"topic", "name", "state", "found", "remedy"} == set(found[0])
    assert next(one for one in found if one["name"] == "freqq")["found"].startswith(freqq.__version__)


def test_a_broken_thing_is_one_line_and_exit_code_1(monkeypatch):
    monkeypatch.setenv("FREQQ_CODEBOOKS", "/no/such/folder")
    done = run()
    assert done.exit_code == 1
    assert done.stderr.startswith("error: broken: further codebooks (correct FREQQ_CODEBOOKS")
    assert done.stderr.count("\n") == 1


def test_a_library_that_cannot_be_imported_is_named_and_not_a_traceback(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.13: cannot open shared object file')")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = [sys.executable, "-m", "freqq", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "cannot be imported: libcudart.so.13" in done.stdout
    assert done.stderr == "error: broken: torch (pip install --force-reinstall torch)\n"
