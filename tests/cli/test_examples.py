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
from PIL import Image

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
    assert {r["method"] for r in rows} >= {"baseline", *COMPRESSORS}
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


@needs_tiny
@pytest.mark.slow
def test_new_method(tmp_path):
    script = [sys.executable, str(EXAMPLES / "new_method.py")]
    command = (
        "eval --method token-contrast --method image-runs --method token-contrast+int4 --level all --limit 1".split()
    )
    done = subprocess.run([*script, *command, "--out", str(tmp_path / "run")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(tmp_path / "run" / "results.parquet").to_pylist()
    assert [row["error"] for row in rows] == [None] * 13
    plain = rows[0]
    cut = [row for row in rows if row["method"] == "token-contrast"]
    assert [row["vision_tokens"] for row in cut] == sorted({row["vision_tokens"] for row in cut}, reverse=True)
    assert cut[0]["vision_tokens"] < plain["vision_tokens"]
    runs = [row["image_bytes"] for row in rows if row["method"] == "image-runs"]
    assert runs == sorted(set(runs), reverse=True)
    done = subprocess.run([*script, "methods", "token-contrast"], capture_output=True, text=True)
    assert "Keep the tokens that differ most from the one to their left." in done.stdout


def test_the_codec_of_new_method_is_as_exact_as_it_says_and_believes_no_stream():
    code = """
import numpy as np
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from freqq.errors import UserError
from freqq.pages.page import Page
from new_method import Runs

@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))), st.integers(2, 256), st.data())
def check(pixels, grays, data):
    codec = Runs(grays)
    stream = codec.encode(Page(pixels))
    assert np.abs(codec.decode(stream).pixels.astype(int) - pixels).max() <= 127.5 / (grays - 1) + 0.5
    at = data.draw(st.integers(0, len(stream) - 1))
    for damaged in (stream[:at], stream[:at] + bytes([stream[at] ^ 1]) + stream[at + 1 :]):
        try:
            codec.decode(damaged)
            raise AssertionError("it was read")
        except UserError:
            pass

check()
"""
    environment = os.environ | {"PYTHONPATH": f"{EXAMPLES}:{EXAMPLES.parent}"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("chat", [[], [str(EXAMPLES.parent / "tests" / "data" / "files" / "chats.jsonl")]])
def test_study_figures(chat, tmp_path):
    script = [sys.executable, str(EXAMPLES / "study_figures.py"), *chat, "--limit", "5", "--out", str(tmp_path / "f")]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    drawn = sorted((tmp_path / "f").iterdir())
    assert [path.stem for path in drawn] == [
        "lengths", "page", "pipeline", "residual-0.5", "residual-0.8", "spectrum-0.5", "spectrum-0.8",
    ]  # fmt: skip
    assert sorted(done.stdout.split()) == [str(path) for path in drawn]
    assert len({path.read_bytes() for path in drawn}) == len(drawn)
    for path in drawn:
        with Image.open(path) as image:
            assert (image.format, min(image.size) > 300) == ("PNG", True)


@needs_tiny
@pytest.mark.slow
def test_adaptations(tmp_path):
    script = [sys.executable, str(EXAMPLES / "adaptations.py"), "--steps", "1", "--limit", "2", "--seed", "1"]
    done = subprocess.run(
        [*script, "--only", "stride", "--out", str(tmp_path / "a")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *_, row = done.stdout.splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0] == "stride"
    assert 0.4 < float(cells[1]) < 0.6
    assert cells[4].endswith("%]")
    assert len(cells) == 8
