"""A shard is one process's at a time, and not a dead one's."""

import json
import os
import socket
import subprocess
import sys

import pytest

from freqq.errors import UserError
from freqq.runs.lock import Owner, lock, owners
from freqq.runs.shard import Shard

HOLD = (
    "import sys; from pathlib import Path; from freqq.runs.lock import lock; from freqq.runs.shard import Shard\n"
    "with lock(Path(sys.argv[1]), Shard(int(sys.argv[2]), int(sys.argv[3])), print):\n"
    "    print('held', flush=True); sys.stdin.read()"
)


def holder(folder, index, count):
    """Another process that holds a shard until its input ends, and whether it got it."""
    command = [sys.executable, "-c", HOLD, str(folder), str(index), str(count)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return process, process.stdout.readline().strip()


def file_of(folder, index=0, count=1):
    return folder / f".lock-{index}-of-{count}"


def test_a_second_process_is_told_who_holds_the_shard(tmp_path):
    process, said = holder(tmp_path, 0, 2)
    assert said == "held"
    assert owners(tmp_path) == [Owner(process.pid, socket.gethostname(), os.environ.get("SLURM_JOB_ID"))]
    with pytest.raises(UserError, match=f"part 0/2 .* process {process.pid} on {socket.gethostname()}: wait for it"):
        lock(tmp_path, Shard(0, 2)).__enter__()
    with lock(tmp_path, Shard(1, 2)):
        pass
    process.communicate("")
    assert owners(tmp_path) == []
    with lock(tmp_path, Shard(0, 2)):
        pass


def test_a_killed_process_holds_nothing_and_its_successor_says_so(tmp_path):
    process, _ = holder(tmp_path, 0, 1)
    process.kill()
    process.communicate()
    assert Owner.read(file_of(tmp_path).open()).pid == process.pid
    notes = []
    with lock(tmp_path, Shard(), notes.append):
        assert owners(tmp_path)[0].pid == os.getpid()
    assert len(notes) == 1
    assert f"process {process.pid}" in notes[0]
    assert "is gone" in notes[0]


def test_the_workers_of_a_killed_process_hold_its_shard_until_they_end(tmp_path):
    """A child that inherited the lock lives for a second longer; its successor waits for it."""
    child = "import time, sys; time.sleep(1); open(sys.argv[1], 'w')"
    parent = (
        "import os, signal, subprocess, sys; from pathlib import Path\n"
        "from freqq.runs.lock import lock; from freqq.runs.shard import Shard\n"
        "with lock(Path(sys.argv[1]), Shard()) as held:\n"
        "    subprocess.Popen([sys.executable, '-c', sys.argv[2], sys.argv[3]], pass_fds=[held])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = tmp_path / "ended"
    subprocess.run([sys.executable, "-c", parent, str(tmp_path), child, str(ended)])
    with lock(tmp_path, Shard()):
        assert ended.exists()


def test_a_process_id_that_was_given_away_since_holds_nothing(tmp_path):
    file_of(tmp_path).write_text(json.dumps({"pid": 1, "host": socket.gethostname(), "job": None}))
    with lock(tmp_path, Shard()):
        pass


def test_another_hosts_lock_is_named_with_the_way_out(tmp_path, monkeypatch):
    file_of(tmp_path).write_text(json.dumps({"pid": 7, "host": "node17", "job": "4711"}))
    with pytest.raises(UserError, match=f"process 7 on node17: .* delete {file_of(tmp_path)}"):
        lock(tmp_path, Shard()).__enter__()
    # Slurm queued the very job again, on another host: its former process has ended.
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    with lock(tmp_path, Shard()):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": "x", "host": 1, "job": null}', "x" * 10_000])
def test_a_lock_file_that_says_nothing_holds_nothing(tmp_path, text):
    file_of(tmp_path).write_text(text)
    with lock(tmp_path, Shard()):
        pass


def test_divisions_that_overlap_exclude_each_other(tmp_path):
    with lock(tmp_path, Shard(1, 2)):
        process, said = holder(tmp_path, 0, 3)
        assert said == ""
        assert f"part 1/2 of {tmp_path} is held by process {os.getpid()}" in process.communicate("")[1]
    process, said = holder(tmp_path, 0, 3)
    assert said == "held"
    process.communicate("")
