"""What a supervisor hears of a process, and how it notices its end; runs of several are in test_supervisor."""

import signal
import sys
from pathlib import Path

import pytest

from freqq.glm.load import Weights
from freqq.glm.place import Placement
from freqq.runs import shard_process
from freqq.runs.machine import Machine
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from freqq.runs.shard_process import Assignment, Replica, Subprocesses

GREETS = "print('a library greets', '12', '[]', 'null', sep='\\n', flush=True)"
HANGS = "os.close(1); time.sleep(3600)"


@pytest.fixture
def assignment(tmp_path):
    weights, placement = Weights("a model", tmp_path, "r"), Placement("float32", "cpu")
    return Assignment(Replica(Path("run"), Settings(), weights, placement, Shard(), Machine()), ("a",))


def heard(assignment: Assignment) -> tuple[list[dict], int]:
    """All that a process reports until its end, and its exit code."""
    processes, reports, code = Subprocesses(), [], None
    process = processes.start(assignment)
    while code is None:
        for who, more, ended in processes.wait(0.1):
            assert who is process
            reports, code = reports + more, ended
    return reports, code


def test_what_libraries_print_is_no_report_and_a_process_that_hangs_at_its_end_is_killed(assignment, monkeypatch):
    code = f"import os, time; {GREETS}; print('{{\"done\": true}}', flush=True); {HANGS}"
    monkeypatch.setattr(shard_process, "COMMAND", (sys.executable, "-c", code))
    monkeypatch.setattr(shard_process, "END_S", 0.1)
    assert heard(assignment) == ([{"done": True}], -signal.SIGKILL)


def test_a_line_that_a_library_left_open_swallows_no_report(assignment, monkeypatch):
    code = "import os; os.write(1, b'no end'); from freqq.runs import shard_process; shard_process.main()"
    monkeypatch.setattr(shard_process, "COMMAND", (sys.executable, "-c", code))
    [report], code = heard(assignment)
    assert report["exit_code"] == code == 2, "the model is none"
