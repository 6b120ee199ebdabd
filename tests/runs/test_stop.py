"""A signal ends a process soon, whatever it is at, and what was finished is stored."""

import os
import signal
import subprocess
import sys
import time

import pytest

from freqq.errors import FreqqError
from freqq.runs.run import run
from freqq.runs.settings import Settings
from freqq.runs.stop import GRACE_S, SIGNALS, StopRequest
from freqq.runs.supervisor import GRACE_S as KILLED_S
from freqq.slurm.script import GRACE_SECONDS
from tests.runs.killing import rows_on_disk, table

LIMIT_S = 20
"""Within which a process has to be gone."""


@pytest.fixture(scope="module")
def settings(random_model):
    return Settings(model=random_model, limit=6, levels=("mild",), max_new_tokens=3)


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    return table(run(settings, tmp_path_factory.mktemp("whole") / "run"))


def test_processes_store_what_they_have_before_they_are_killed_and_all_are_gone_in_time():
    assert GRACE_S < KILLED_S < LIMIT_S < GRACE_SECONDS  # Slurm's, before it kills a job


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "call", "number"), list(zip(("vision", "prefill", "decode"), (3, 5, 9), SIGNALS, strict=True))
)
@pytest.mark.parametrize("workers", [[], ["--workers", "1"]])
def test_a_process_that_is_stuck_ends_and_loses_nothing_that_was_finished(
    settings, whole, tmp_path, place, call, workers, number
):
    """The third batch of two samples gets stuck in its first pass; four samples have answers by two arms."""
    stuck, path = tmp_path / "stuck", tmp_path / "run"
    options = f"--model {settings.model} --limit 6 --level mild --max-new-tokens 3 --batch-size 2 --out {path}".split()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.runs.stuck", place, str(call), str(stuck), "eval", *options, *workers],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not stuck.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 75, stderr
    assert "run the same command again" in stderr.splitlines()[-1]
    assert stderr.count("error:") == 1
    assert rows_on_disk(path) == 8
    assert table(run(settings, path)) == whole


def test_a_disk_that_is_full_then_is_said():
    code = (
        "import os, signal, time; from freqq.errors import FreqqError; from freqq.runs.stop import StopRequest\n"
        "def finish(): raise FreqqError('the disk is full')\n"
        "with StopRequest(grace_s=0) as stop:\n"
        "    stop.finish = finish; os.kill(os.getpid(), signal.SIGTERM)\n"
        "    while True: time.sleep(1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == FreqqError.exit_code
    assert done.stderr == "error: the disk is full\n"


def test_a_block_that_is_left_in_time_leaves_signals_as_they_were():
    before = signal.getsignal(signal.SIGTERM)
    for _ in range(3):
        with StopRequest(grace_s=3600) as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            while not stop.requested:
                time.sleep(0.01)
    assert signal.getsignal(signal.SIGTERM) == before
    assert signal.set_wakeup_fd(-1) == -1
