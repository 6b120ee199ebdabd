"""The examples run as they stand."""

import csv
import importlib.util
import json
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
from freqq.runs.cards import MEASURED
from freqq.tokens import COMPRESSORS
from freqq.tokens.base import Cutter
from tests.cli.test_app import freqq
from tests.conftest import needs_tiny

EXAMPLES = Path(__file__).parents[2] / "examples"

GUIDE = """A guide.

<!-- results/token_methods.csv -->
| method, level | tokens | 2 needles |
|---|---|---|
| `token-prune`, mild | stale | old |

| `token-prune`, mild | not marked |
"""


class Commands:
    """`subprocess` for an example: its commands of freqq run in this process, for each start of torch takes seconds."""

    PIPE, DEVNULL = subprocess.PIPE, subprocess.DEVNULL

    @staticmethod
    def run(command, **options):
        assert command[:3] == [sys.executable, "-m", "freqq"]
        done = freqq(*command[3:])
        assert done.exit_code == 0, done.output
        return subprocess.CompletedProcess(command, 0, done.stdout)


@pytest.fixture
def example(monkeypatch, capsys):
    """Runs an example with arguments; what it prints. Names given by keyword replace its own."""

    def run(name, *arguments, **replaced):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        spec = importlib.util.spec_from_file_location("example", EXAMPLES / name)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "example", module)
        spec.loader.exec_module(module)
        for own, value in replaced.items():
            monkeypatch.setattr(module, own, value)
        if hasattr(module, "main"):
            module.main()
        return capsys.readouterr().out

    return run


@needs_tiny
@pytest.mark.slow
def test_quickstart(example):
    said = example("quickstart.py")
    assert "plain:" in said
    assert "extreme" in said


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


NOTE = """#!/bin/sh
for word; do printf '%s\\n' "$word"; done >> {file}
echo >> {file}
"""


def run_sweep(script, tmp_path, monkeypatch, *arguments):
    """Run a script; its commands of freqq then run in this process, one after the other as it gives them."""
    (tmp_path / "freqq").write_text(NOTE.format(file=tmp_path / "commands"))
    (tmp_path / "freqq").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["bash", str(EXAMPLES / script), *arguments], check=True, env=environment)
    monkeypatch.chdir(tmp_path)
    for command in (tmp_path / "commands").read_text().split("\n\n")[:-1]:
        done = freqq(*command.split("\n"))
        assert done.exit_code == 0, done.output


@needs_tiny
@pytest.mark.slow
def test_sweep(tmp_path, monkeypatch):
    run_sweep("sweep.sh", tmp_path, monkeypatch, "--limit", "1", "--max-new-tokens", "2")
    assert {p.name for p in (tmp_path / "runs").iterdir()} == {
        "sweep", "sweep-bits-8-8-8", "sweep-bits-8-6-4", "sweep-bits-8-4-2",
    }  # fmt: skip


@needs_tiny
@pytest.mark.slow
def test_sweep_tokens(tmp_path, monkeypatch, example):
    run_sweep("sweep_tokens.sh", tmp_path, monkeypatch, "--limit", "1", "--needle", "2", "--max-new-tokens", "2")
    rows = pq.read_table(tmp_path / "runs" / "sweep-tokens" / "results.parquet").to_pylist()
    assert {r["method"] for r in rows} >= {"baseline", *COMPRESSORS}
    assert [r["error"] for r in rows] == [None] * len(rows)

    measured = tmp_path / "measured.json"
    shutil.copy(MEASURED, measured)
    (tmp_path / "guide.md").write_text(GUIDE)
    results = tmp_path / "token_methods.csv"
    own = {"RESULTS": tmp_path, "DOCUMENTS": [tmp_path / "guide.md"], "MEASURED": measured}
    shutil.copy(EXAMPLES / "results" / "image_codecs.csv", tmp_path)
    said = example("tables.py", tmp_path / "runs" / "sweep-tokens", "--csv", results, **own)
    arms = {(r["method"], r["level"]) for r in rows}
    assert {(r["method"], r["level"]) for r in csv.DictReader(results.open())} == arms
    table = [line for line in said.splitlines() if line.startswith("|")]
    assert len(table) == len(arms) + 2
    [cut] = [line.split(" | ") for line in table if line.startswith("| `token-prune`, mild")]
    assert (tmp_path / "guide.md").read_text() == GUIDE.replace("stale", cut[1]).replace(
        "old", cut[-1].removesuffix(" |")
    )
    written, before = (json.loads(path.read_text()) for path in (measured, MEASURED))
    assert written["image"] == before["image"]
    assert written["token"]["methods"].keys() == {m for m, _ in arms if m != "baseline" and "+" not in m}


@needs_tiny
@pytest.mark.slow
def test_wrong_needle(tmp_path, example):
    command = f"eval --needle 8 --level baseline --limit 12 --out {tmp_path / 'run'}".split()
    assert freqq(*command).exit_code == 0
    assert example("wrong_needle.py", tmp_path / "run").startswith("8 needles, baseline: ")


@needs_tiny
@pytest.mark.slow
@pytest.mark.needs("ocr")
def test_image_codecs(tmp_path, example):
    own = runpy.run_path(str(EXAMPLES / "image_codecs.py"))
    text = own["docstrings"]()
    assert len(text) > 100_000
    # Tesseract is slow: codecs of one level, and a few lines of a page.
    arguments = ["--pages", 1, "--limit", 2, "--out", tmp_path, "--codec", "png", "text"]
    said = example("image_codecs.py", *arguments, docstrings=lambda: text[:1000], subprocess=Commands)
    table = said[said.index("| codec, level |") :].splitlines()
    assert {row.split()[1].strip("`,") for row in table[2:]} == {"baseline", "png", "text"}
    assert len({row.count("|") for row in table}) == 1
    assert set(own["METHODS"].values()) == set(CODECS) - {"image-dct"}  # another name of image


@needs_tiny
@pytest.mark.slow
def test_largest_cut(tmp_path, example):
    arguments = ["--limit", 2, "--out", tmp_path, "--fractions", 0.95, 0.9]
    rows = example("largest_cut.py", *arguments, subprocess=Commands).splitlines()[2:]
    assert {row.split("`")[1] for row in rows} == {n for n, cls in COMPRESSORS.items() if issubclass(cls, Cutter)}
    pooled = next(row for row in rows if "token-pool" in row)
    assert "none of those tried | .95: -" in pooled  # means of neighbours cannot be read at any fraction


@needs_tiny
@pytest.mark.slow
@pytest.mark.needs("curl")
def test_serving(tmp_path):
    """The guide's commands that need nothing but freqq."""
    blocks = [block.split("```")[0] for block in (EXAMPLES / "serving.md").read_text().split("```sh\n")[1:]]
    [commands] = [block for block in blocks if block.startswith("freqq serve") and "8123" in block]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    done = run_shell(commands.replace("8123", port), tmp_path)
    assert '"id":"tiny"' in done
    assert "16 of 16 planned keys are there" in done


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
    submission = "slurm-submit --dry-run -- --method token-contrast --limit 1".split()
    done = subprocess.run([*script, *submission], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{shlex.join(script)} eval --method token-contrast" in done.stdout
    assert f"{shlex.join(script)} runs merge" in done.stdout


def test_the_codec_of_new_method_is_as_exact_as_it_says_and_believes_no_stream():
    code = """
import numpy as np
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from freqq.errors import UserError
from freqq.pages.page import Page
from new_method import Runs

@settings(deadline=None)  # of a machine that may be busy
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
def test_study_figures(chat, tmp_path, example):
    said = example("study_figures.py", *chat, "--limit", 5, "--out", tmp_path / "f")
    drawn = sorted((tmp_path / "f").iterdir())
    assert [path.stem for path in drawn] == [
        "lengths", "page", "pipeline", "residual-0.5", "residual-0.8", "spectrum-0.5", "spectrum-0.8",
    ]  # fmt: skip
    assert sorted(said.split()) == [str(path) for path in drawn]
    assert len({path.read_bytes() for path in drawn}) == len(drawn)
    for path in drawn:
        with Image.open(path) as image:
            assert (image.format, min(image.size) > 300) == ("PNG", True)


@needs_tiny
@pytest.mark.slow
def test_adaptations(tmp_path, example):
    arguments = ["--steps", 1, "--limit", 2, "--seed", 1, "--only", "stride", "--out", tmp_path / "a"]
    *_, row = example("adaptations.py", *arguments, subprocess=Commands).splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0] == "stride"
    assert 0.4 < float(cells[1]) < 0.6
    assert " % [" in cells[4]
    assert len(cells) == 8
