"""Runs on a real Slurm, which is started for them: whole, preempted, cancelled, failing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import needs_tiny
from tests.slurm.cluster import GPUS

pytestmark = [needs_tiny, pytest.mark.slow]

VARYING = {"shard", "started_at", "peak_memory_bytes"}
"""Columns that depend on who did the work, and when; those whose names tell of milliseconds do, too."""

BUSY, SAMPLES = ("--level", "baseline", "--limit", "160", "--batch-size", "1", "--max-new-tokens", "4"), 160
"""An evaluation of which either of two shards goes on for some seconds after its first rows are stored."""


def table(run):
    found = pq.read_table(run / "results.parquet")
    kept = [n for n in found.column_names if n not in VARYING and not n.endswith("_ms") and "_ms_" not in n]
    return found.select(kept)


def unsharded(folder, *options):
    """The same evaluation without Slurm."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "freqq", "eval", *options, "--out", str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def assert_every_key_once(slurm, answers):
    rows = pq.read_table(slurm.run / "results.parquet").to_pylist()
    keys = {(r["sample_id"], r["config_hash"]) for r in rows}
    assert len(rows) == len(keys) == answers
    assert [r["error"] for r in rows] == [None] * len(rows)
    stored = [pq.read_table(part).num_rows for part in (slurm.run / "parts").glob("*.parquet")]
    assert sum(stored) == len(rows)  # nothing was answered twice


def test_four_shards_and_their_merge_are_the_unsharded_run(slurm):
    options = ("--limit", "6")
    slurm.submit("--gpus", "4", evaluate=options, setup=('echo "gpu $CUDA_VISIBLE_DEVICES"',))
    with unsharded(slurm.folder / "whole", *options) as whole:
        assert whole.wait() == 0, whole.stderr.read()
    found = slurm.wait_for_merge()
    assert [s["state"] for s in found["shards"]] == ["COMPLETED"] * 4
    assert [(s["rows"], s["rows_planned"]) for s in found["shards"]] == [(4, 4), (4, 4), (2, 2), (2, 2)]
    assert table(slurm.run).equals(table(slurm.folder / "whole"))
    assert_every_key_once(slurm, 12)
    gpus = [slurm.log(f"{s['job']}.log").split("gpu ")[1][0] for s in found["shards"]]
    assert set(gpus) <= set("0123")


def test_a_preempted_element_is_queued_again_alone_and_goes_on(slurm):
    slurm.submit("--gpus", "2", evaluate=BUSY)
    slurm.wait_for_rows("0-of-2")
    job = slurm.status()["job"]
    slurm(f"scancel --signal=USR1 {job}_0")
    found = slurm.wait_for_merge()
    assert [s["restarts"] for s in found["shards"]] == [1, 0]
    assert "freqq: ended with 75" in slurm.log(f"{job}_0.log")
    assert "freqq: ended with 75" not in slurm.log(f"{job}_1.log")
    assert_every_key_once(slurm, SAMPLES)


def test_a_node_job_makes_way_for_a_more_important_one_and_goes_on(slurm):
    slurm.submit("--gpus", "2", "--layout", "node", evaluate=BUSY)
    slurm.wait_for_rows("0-of-2", "1-of-2")
    log = slurm.folder / "urgent.log"
    urgent = slurm(f"sbatch --parsable --partition=high --gres=gpu:{GPUS} --output={log} --wrap='echo done'")
    found = slurm.wait_for_merge()
    assert [s["restarts"] for s in found["shards"]] == [1, 1]
    # 138 if the signal finds one of the two done with its shard and about to end.
    assert {"freqq: ended with 75", "freqq: ended with 138"} & set(slurm.log(f"{found['job']}.log").splitlines())
    assert slurm(f"squeue --noheader --states=all --jobs={urgent} --format=%T") == "COMPLETED"
    assert_every_key_once(slurm, SAMPLES)


def test_a_cancelled_element_ends_the_merge_and_is_made_up_for_by_submitting_again(slurm):
    held = 'while [ "$SLURM_ARRAY_TASK_ID" = 1 ] && [ ! -e go ]; do sleep 0.1; done'
    slurm.submit("--gpus", "2", evaluate=("--limit", "4"), setup=(held,))
    found = slurm.wait(lambda s: [x["state"] for x in s["shards"]] == ["COMPLETED", "RUNNING"] or s["stuck"])
    assert not found["stuck"], slurm.logs()
    slurm(f"scancel {found['job']}_1")
    found = slurm.wait(lambda s: s["merge"]["state"] == "CANCELLED")
    assert [s["state"] for s in found["shards"]] == ["COMPLETED", "CANCELLED"]
    assert [s["rows"] for s in found["shards"]] == [4, 0]
    assert found["shards"][1]["restarts"] == 0  # the end of its script did not bring it back
    assert found["stuck"]
    assert not (slurm.run / "results.parquet").exists()
    Path("go").touch()
    slurm.submit_again()
    assert slurm.wait_for_merge()["job"] != found["job"]
    assert_every_key_once(slurm, 8)


def test_data_that_are_gone_fail_the_shard_and_the_status_says_which_and_why(slurm):
    shutil.copy(Path(__file__).parents[1] / "data" / "files" / "chats.jsonl", slurm.folder / "my.jsonl")
    options = ("--data", "my.jsonl", "--task", "transcribe", "--max-new-tokens", "4")
    slurm.submit("--gpus", "1", evaluate=options, setup=("rm -f my.jsonl",))
    found = slurm.wait(lambda s: s["merge"]["state"] == "CANCELLED")
    (shard,) = found["shards"]
    assert shard["state"] == "FAILED"
    assert "my.jsonl" in shard["error"]
    assert found["stuck"]


def test_a_failing_setup_line_fails_its_element_alone(slurm):
    lines = ('[ "$SLURM_ARRAY_TASK_ID" = 1 ] || exit 0', "no-such-module load cuda")
    slurm.submit("--gpus", "3", evaluate=("--limit", "4"), setup=lines)
    found = slurm.wait(lambda s: s["merge"]["state"] == "CANCELLED")
    assert [s["state"] for s in found["shards"]] == ["COMPLETED", "FAILED", "COMPLETED"]
    assert "no-such-module: command not found" in found["shards"][1]["error"]
    assert found["shards"][0]["error"] is None
    assert not (slurm.run / "parts").exists()


def test_the_example_looks_submits_and_shows(slurm, monkeypatch):
    # As after an installation: the command is on the path.
    command = slurm.folder / "bin" / "freqq"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m freqq "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    script = Path(__file__).parents[2] / "examples" / "slurm.sh"
    done = subprocess.run(["bash", script, "--gpus", "2", "--sbatch-arg", "--hold"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "nothing was submitted\nsubmitted" in done.stdout
    assert done.stdout.count("JobHeldUser") == 2
