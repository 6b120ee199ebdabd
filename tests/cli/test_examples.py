"""The examples run as they stand."""

import os
import runpy
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from freqq.image import CODECS
from freqq.tokens import COMPRESSORS
from freqq.tokens.base import Cutter
from tests.cli.test_app import freqq
from tests.conftest import needs_tiny

EXAMPLES = Path(__file__).parents[2] / "examples"


@needs_tiny
@pytest.mark.slow
def test_quickstart():
    done = subprocess.run([sys.executable, str(EXAMPLES / "quickstart.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "plain:" in done.stdout
    assert "extreme" in done.stdout


def run_shell(commands, tmp_path):
    """Run lines of shell, and return what they say, or fail with it."""
    # As after an installation: the command is on the path.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "freqq").write_text(f'#!/bin/sh\nexec {sys.executable} -m freqq "$@"\n')
    (tmp_path / "bin" / "freqq").chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(EXAMPLES.parent),
    }
    done = subprocess.run(["bash", "-ec", commands], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_sweep(script, tmp_path, *arguments):
    run_shell(shlex.join(["bash", str(EXAMPLES / script), *arguments]), tmp_path)


@needs_tiny
@pytest.mark.slow
def test_sweep(tmp_path):
    run_sweep("sweep.sh", tmp_path, "--limit", "1", "--max-new-tokens", "2")
    assert {p.name for p in (tmp_path / "runs").iterdir()} == {
        "sweep", "sweep-bits-8-8-8", "sweep-bits-8-6-4", "sweep-bits-8-4-2",
    }  # fmt: skip


@needs_tiny
@pytest.mark.slow
def test_sweep_tokens(tmp_path):
    run_sweep("sweep_tokens.sh", tmp_path, "--limit", "1", "--needle", "2", "--max-new-tokens", "2")
    rows = pq.read_table(tmp_path / "runs" / "sweep-tokens" / "results.parquet").to_pylist()
    assert {r["method"] for r in rows} >= {"none", *COMPRESSORS}
    assert [r["error"] for r in rows] == [None] * len(rows)


@needs_tiny
@pytest.mark.slow
def test_wrong_needle(tmp_path):
    command = f"eval --needle 8 --level baseline --limit 12 --out {tmp_path / 'run'}".split()
    assert freqq(*command).exit_code == 0
    script = [sys.executable, str(EXAMPLES / "wrong_needle.py"), str(tmp_path / "run")]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("8 needles, none baseline: ")


@needs_tiny
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
def test_image_codecs(tmp_path):
    script = [sys.executable, str(EXAMPLES / "image_codecs.py"), "--pages", "1", "--limit", "2", "--out", str(tmp_path)]
    script += ["--codec", "png", "text"]  # those of one level: tesseract is slow
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = done.stdout[done.stdout.index("| codec, level |") :].splitlines()
    assert {row.split("`")[1] for row in table[2:]} == {"none", "png", "text"}
    assert len({row.count("|") for row in table}) == 1
    assert set(runpy.run_path(script[1])["METHODS"].values()) == set(CODECS) - {"image-dct"}  # another name of image


@needs_tiny
@pytest.mark.slow
def test_largest_cut(tmp_path):
    script = [sys.executable, str(EXAMPLES / "largest_cut.py"), "--limit", "2", "--out", str(tmp_path)]
    script += ["--fractions", "0.95", "0.9"]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()[2:]
    assert {row.split("`")[1] for row in rows} == {n for n, cls in COMPRESSORS.items() if issubclass(cls, Cutter)}
    pooled = next(row for row in rows if "token-pool" in row)
    assert "none of those tried | 0.95: -" in pooled  # means of neighbours cannot be read at any fraction


@needs_tiny
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_serving(tmp_path):
    """The guide's commands that need nothing but freqq."""
    commands = (EXAMPLES / "serving.md").read_text().split("```sh\n")[2].split("```")[0]
    assert commands.startswith("freqq serve")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    done = run_shell(commands.replace("8123", port), tmp_path)
    assert '"id":"tiny"' in done
    assert "16 of 16 planned keys are there once" in done
