"""The examples run as they stand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import needs_tiny

EXAMPLES = Path(__file__).parents[2] / "examples"


@needs_tiny
@pytest.mark.slow
def test_quickstart():
    done = subprocess.run([sys.executable, str(EXAMPLES / "quickstart.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "plain:" in done.stdout
    assert "extreme" in done.stdout


@needs_tiny
@pytest.mark.slow
def test_sweep(tmp_path):
    # As after an installation: the command is on the path.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "freqq").write_text(f'#!/bin/sh\nexec {sys.executable} -m freqq "$@"\n')
    (tmp_path / "bin" / "freqq").chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(EXAMPLES.parent),
    }
    command = ["bash", str(EXAMPLES / "sweep.sh"), "--limit", "2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "runs").iterdir()} == {
        "sweep", "sweep-bits-8-8-8", "sweep-bits-8-6-4", "sweep-bits-8-4-2",
    }  # fmt: skip


@needs_tiny
@pytest.mark.slow
def test_wrong_needle(tmp_path):
    command = f"-m freqq eval --needle 8 --level baseline --limit 12 --out {tmp_path / 'run'}".split()
    assert subprocess.run([sys.executable, *command], capture_output=True).returncode == 0
    script = [sys.executable, str(EXAMPLES / "wrong_needle.py"), str(tmp_path / "run")]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("8 needles, none baseline: ")
