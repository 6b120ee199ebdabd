"""``freqq slurm-status`` from logs, rows and the words of Slurm's programs."""

from dataclasses import replace
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.errors import FreqqError, UserError
from freqq.runs.directory import RunDirectory
from freqq.runs.schema import Row, to_table
from freqq.slurm import logs
from freqq.slurm.queue import COLUMNS, State, parse_sacct, parse_squeue
from freqq.slurm.status import status
from freqq.slurm.submit import Submission
from tests.cli.test_app import freqq

BEGINS = "freqq: begins on n1, restart {}\n"
LINES = st.text(st.characters(exclude_categories=("Cs",)), max_size=60) | st.sampled_from(
    [BEGINS.format(0), BEGINS.format(3), "freqq: ended with 0", "freqq: ended with 75", "Error", "srun: error: x"]
)


@given(st.lists(LINES, max_size=8))
def test_any_log_gives_one_printable_line_and_a_state(lines):
    text = "\n".join(lines)
    for found in (logs.last_error(text), logs.last_words(text)):
        assert found is None or (found.isprintable() and len(found) <= logs.LONGEST_LINE + 3)
    assert logs.state(text).name in ("COMPLETED", "FAILED", "STOPPED", "NEVER RAN")


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["error: first", "error: last"], "error: last"),
        (["error: ours", "srun: error: n1: task 0: Exited with exit code 2", "freqq: ended with 2"], "error: ours"),
        (["ValueError: x", "a warning without the word"], "ValueError: x"),
        (["error: before", BEGINS.format(1), "all is well"], None),
        (["slurmstepd-n1: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO JOB REQUEUE ***"], None),
        (["slurmstepd: error: Detected 1 oom_kill event in StepId=7.0."] * 2, "oom_kill"),
        ([], None),
    ],
)
def test_the_last_error_is_the_last_attempts_own(lines, found):
    error = logs.last_error("\n".join(lines))
    assert error is None if found is None else found in error


def test_without_any_words_the_exit_code_has_to_do():
    assert logs.last_words(BEGINS.format(0) + "freqq: ended with 3\n") == "exit code 3"


def test_a_log_without_end_is_read_from_its_end(tmp_path):
    (tmp_path / "log").write_bytes(b"\xff\n" * 10**6 + b"error: the last\n")
    text = logs.read(tmp_path / "log")
    assert len(text) <= logs.TAIL
    assert logs.last_error(text) == "error: the last"


def test_squeue_is_read_by_columns():
    values = ("71_3", "PENDING", "2", "", "Nodes required for job are DOWN, DRAINED")
    line = "".join(f"{v:<{width}}" for v, width in zip(values, COLUMNS.values(), strict=True))
    assert parse_squeue(line + "\n") == {"71_3": State("PENDING", values[-1], "", 2)}
    assert parse_squeue("") == {}


def test_sacct_is_read_by_bars():
    text = "71_0|COMPLETED|n1\n71_1|CANCELLED by 1000|None assigned\n72|OUT_OF_MEMORY|n2\nbroken\n"
    assert parse_sacct(text) == {
        "71_0": State("COMPLETED", node="n1", source="sacct"),
        "71_1": State("CANCELLED", "by 1000", source="sacct"),
        "72": State("OUT_OF_MEMORY", node="n2", source="sacct"),
    }


@pytest.mark.parametrize("name", ["PENDING", "RUNNING", "COMPLETING", "REQUEUED", "SUSPENDED"])
def test_what_may_go_on_is_live(name):
    assert State(name).live
    assert not State(name, source="log").live


ROW = Row(
    sample_id="s0", task="mrcr", needles=2, bin="", method="none", level="baseline", params="{}", model="tiny",
    model_revision="r", data="mini", data_revision="r", config_hash="h0", seed=0, shard="0/2", device="cpu",
    dtype="float32", started_at=datetime(2026, 1, 1, tzinfo=UTC), answer="a",
)  # fmt: skip


def submitted(run, layout="array"):
    (run / "slurm").mkdir(parents=True)
    Submission(layout, 2, "900001", "900002", "freqq slurm-submit", "/").write(run)


def write_part(run, name, rows):
    (run / "parts").mkdir(exist_ok=True)
    pq.write_table(to_table(rows), run / "parts" / f"{name}.parquet")


def test_rows_are_counted_by_shard_and_a_retried_answer_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # without Slurm all is from the files
    submitted(tmp_path)
    assert status(tmp_path).planned is None
    RunDirectory(tmp_path).record({"settings": {}, "samples": ["s0", "s1", "s2"], "arms": [{"config_hash": "h0"}] * 2})
    write_part(tmp_path, "0", [ROW, replace(ROW, config_hash="h1", error="out of memory")])
    write_part(tmp_path, "1", [replace(ROW, config_hash="h1")])
    write_part(tmp_path, "2", [replace(ROW, sample_id="s1", shard="1/2", error="too long")])
    write_part(tmp_path, "3", [replace(ROW, sample_id="s2", shard="0/5")])
    found = status(tmp_path)
    assert found.planned == [4, 2]
    assert [(r.stored, r.failed, r.error) for r in found.rows] == [(2, 0, None), (1, 1, "too long")]
    assert (found.total.stored, found.total.failed) == (4, 1)
    assert "squeue" in found.problem
    assert not found.merged


def test_on_a_node_each_shard_has_a_log_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    submitted(tmp_path, "node")
    folder = tmp_path / "slurm"
    (folder / "900001.log").write_text(BEGINS.format(0) + "bash: no-module: command not found\nfreqq: ended with 2\n")
    assert [t.error for t in status(tmp_path).shards] == ["bash: no-module: command not found"] * 2
    (folder / "900001_0.log").write_text("freqq: begins, restart 0\npart 0/2 is there\n")
    (folder / "900001_1.log").write_text("freqq: begins, restart 0\nerror: its data are gone\n")
    assert [t.error for t in status(tmp_path).shards] == [None, "error: its data are gone"]


def test_a_damaged_part_is_named(tmp_path):
    submitted(tmp_path)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "x.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(FreqqError, match=r"x\.parquet is damaged"):
        status(tmp_path)


def test_a_run_that_was_never_submitted_is_refused(tmp_path):
    with pytest.raises(UserError, match="never submitted"):
        status(tmp_path / "no")


def test_without_slurm_the_command_says_so(tmp_path, monkeypatch):
    submitted(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    for command in (["slurm-status", str(tmp_path)], ["slurm-submit", "--check", "--", "--out", str(tmp_path / "new")]):
        done = freqq(*command)
        assert done.exit_code == 2
        assert "run this on a Slurm login node" in done.stderr
        assert len(done.stderr.splitlines()) == 1
