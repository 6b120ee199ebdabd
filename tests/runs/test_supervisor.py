"""Workers: the same rows as one process, whoever dies."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from shutil import copytree

import pyarrow.parquet as pq
import pytest
import torch

from freqq.errors import FreqqError, UserError
from freqq.runs.batches import Remaining
from freqq.runs.directory import RunDirectory
from freqq.runs.lock import lock
from freqq.runs.machine import Machine
from freqq.runs.merge import merge
from freqq.runs.parts import part_files
from freqq.runs.plan import BASELINE_ARM, draw
from freqq.runs.run import run
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from freqq.runs.stop import SIGNALS
from freqq.runs.verify import verify
from tests.cli.test_app import freqq
from tests.conftest import FULL
from tests.runs.killing import kill_often, rows_on_disk, table, workers_of

DEATHS = [("kill", "SIGKILL"), ("device", "CUDA error: an illegal memory access")]
"""What a sample does to its worker, and what the note of its death says."""

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds workers in /proc")


class Named:
    """A sample as far as batches are concerned."""

    def __init__(self, name: int) -> None:
        self.id = f"s-{name}"


@pytest.mark.parametrize(("count", "most"), [(0, 4), (1, 4), (40, 4), (40, 100)])
def test_batches_have_each_missing_row_once_in_order(count, most):
    samples = [Named(i) for i in range(count)]
    done = {(s.id, known_as) for s in samples[::3] for known_as in "hg"} | {(s.id, "h") for s in samples[::2]}
    remaining = Remaining(samples, [(BASELINE_ARM, "h"), (BASELINE_ARM, "g")], done)
    assert remaining.total - remaining.missing == len(done)
    batches = []
    while remaining:
        batches.append(remaining.take(most))
    assert [s.id for b in batches for s in b.samples] == [s.id for i, s in enumerate(samples) if i % 3]
    assert sum(b.rows for b in batches) == 2 * count - len(done)
    assert all(len(b.samples) <= most for b in batches)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"workers": 0}, "--workers 0"),
        ({"gpus": -1}, "--gpus -1"),
        ({"prefill_chunk": 0}, "--prefill-chunk 0"),
        ({"max_batch_tokens": 0}, "--max-batch-tokens 0"),
        ({"workers": 2, "gpus": 2}, "--gpus and --workers exclude"),
        ({"gpus": 1, "spread": True}, "--gpus and --device-map exclude"),
    ],
)
def test_wrong_numbers_are_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        Machine(**wrong)


def test_gpus_that_are_not_there_are_refused():
    with pytest.raises(UserError, match=r"--gpus 99: \d+ are visible"):
        Machine(gpus=99).placements(Settings())


def test_placements_are_what_the_settings_say():
    settings = Settings(dtype="bfloat16", attention="eager", quantization="nf4")
    for machine, count in ((Machine(workers=3), 3), (Machine(spread=True), 1), (Machine(), 1)):
        placements = machine.placements(settings)
        assert len(placements) == count
        assert {(p.dtype, p.attention, p.quantization) for p in placements} == {("bfloat16", "eager", "nf4")}


def test_cores_are_shared_out(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [Machine(workers=n).threads for n in (1, 2, 3, 9)] == [8, 4, 2, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert [Machine(workers=n).threads for n in (1, 2, 9)] == [2, 2, 1]
    assert Machine().threads is None


@pytest.fixture(scope="module")
def settings(random_model: str) -> Settings:
    return Settings(model=random_model, limit=70, levels=("mild",), max_new_tokens=6)


@pytest.fixture(scope="module")
def options(random_model: str) -> list[str]:
    """Those that give the same settings."""
    return f"--model {random_model} --limit 70 --level mild --max-new-tokens 6 --batch-size 4".split()


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    """The table of one process, uninterrupted."""
    return table(run(settings, tmp_path_factory.mktemp("whole") / "run"))


def start(options, path):
    command = [sys.executable, "-m", "freqq", "eval", *options, "--workers", "2", "--out", str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_rows(process, path):
    wait_for(lambda: rows_on_disk(path) or process.poll() is not None)


def wait_for(condition):
    while not condition():
        time.sleep(0.01)


def command_of(pid):
    """The command of a process; nothing of one that ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.slow
def test_two_workers_give_the_table_of_one_process(settings, whole, tmp_path):
    seen = []
    path = run(
        settings, tmp_path / "run", machine=Machine(workers=2), progress=lambda done, total: seen.append((done, total))
    )
    assert table(path) == whole
    assert seen[0] == (0, 140)
    assert seen[-1] == (140, 140)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.slow
@linux
def test_the_samples_of_a_dead_worker_are_taken_over(settings, whole, tmp_path):
    killed, notes = [], []

    def kill_one(done, total):
        if done and not killed:
            killed.append(workers_of(os.getpid())[0])
            os.kill(killed[0], signal.SIGKILL)

    machine = Machine(workers=2, batch_size=4)
    run(settings, tmp_path / "run", machine=machine, progress=kill_one, note=notes.append)
    [note] = notes
    assert f"(process {killed[0]}) died with SIGKILL" in note
    assert "tried again later, one by one" in note
    assert table(tmp_path / "run") == whole
    assert all(finding.passed for finding in verify(tmp_path / "run"))


@pytest.fixture
def deadly(monkeypatch):
    """Makes samples kill every worker that looks at them, as the kernel does if memory runs out."""

    def choose(settings, *places):
        samples = [entry.bare for entry in draw(settings).entries]
        monkeypatch.setenv("DEADLY", " ".join(samples[i].id for i in places))
        monkeypatch.setattr(
            "freqq.runs.shard_process.COMMAND", (sys.executable, "-P", "-m", "tests.runs.deadly_shard_process")
        )
        return {samples[i].id for i in places}

    return choose


@pytest.mark.slow
@linux
@pytest.mark.parametrize(("how", "said"), DEATHS if FULL else DEATHS[:1])  # each restarts workers six times
def test_a_sample_that_kills_every_worker_is_a_row_with_its_error(
    settings, whole, tmp_path, deadly, monkeypatch, how, said
):
    monkeypatch.setenv("HOW", how)
    notes, dead = [], deadly(settings, 20)
    machine = Machine(workers=2, batch_size=4)
    path = run(settings, tmp_path / "run", machine=machine, note=notes.append)
    assert [said in note for note in notes] == [True] * 5  # one on its batch, two on itself at each arm
    assert [note.partition("given up: ")[2] for note in notes] == [
        "", "", f"{min(dead)} by baseline (baseline)", "", f"{min(dead)} by token (mild)",
    ]  # fmt: skip
    names = [note.split(" (process")[0] for note in notes[1:]]
    assert all(one != other for one, other in pairwise(names))
    failed = [row for row in table(path) if row["error"]]
    assert [row["method"] for row in failed] == ["baseline", "token"]
    assert all("2 workers died while they had only this sample" in row["error"] for row in failed)
    assert {row["sample_id"] for row in failed} == dead
    assert [r for r in table(path) if not r["error"]] == [r for r in whole if r["sample_id"] not in dead]
    assert all(finding.passed for finding in verify(path))


@pytest.mark.slow
def test_suspects_that_are_answered_or_of_another_run_are_forgotten(random_model, tmp_path):
    settings = Settings(model=random_model, limit=1, max_new_tokens=2)
    path = run(settings, tmp_path / "run")
    answered = table(path)[0]
    suspects = path / ".suspects-0-of-1.json"
    died = {"baseline (baseline)": 1}
    suspects.write_text(json.dumps({answered["sample_id"]: died, "of no sample": died}))
    notes = []
    run(replace(settings, limit=2), path, machine=Machine(workers=1), note=notes.append)
    assert [row["error"] for row in table(path)] == [None] * 4
    assert not suspects.exists()
    assert not [note for note in notes if "died" in note]


@pytest.mark.slow
@linux
@pytest.mark.parametrize(
    ("how", "code", "said"), [("kill", 1, "all workers died"), ("device", 69, r"illegal memory .* no worker is left")]
)
def test_samples_that_all_kill_end_the_run(settings, tmp_path, monkeypatch, deadly, how, code, said):
    deadly(settings, *range(70))
    monkeypatch.setenv("HOW", how)
    monkeypatch.setattr("freqq.runs.supervisor.MOST_STRIKES", 2)
    notes = []
    with pytest.raises(FreqqError, match=said) as ended:
        run(settings, tmp_path / "run", machine=Machine(workers=1, batch_size=1), note=notes.append)
    assert ended.value.exit_code == code
    assert rows_on_disk(tmp_path / "run") == 0
    assert ["not started again" in note for note in notes] == [False, True]


@pytest.mark.slow
@linux
def test_killed_again_and_again_nothing_is_lost_doubled_or_changed(options, whole, tmp_path):
    kill_often(options, tmp_path / "run", 3, random.Random(0), 0.5, lambda text: None)
    assert all(finding.passed for finding in verify(tmp_path / "run"))
    assert table(tmp_path / "run") == whole


@pytest.mark.slow
@linux
def test_a_signal_to_all_processes_stops_the_run_after_what_is_at_hand(settings, options, whole, tmp_path):
    process = start(options, tmp_path / "run")
    wait_for_rows(process, tmp_path / "run")
    # As a terminal and Slurm do it: to each process.
    for number, pid in zip(SIGNALS, [*workers_of(process.pid), process.pid], strict=True):
        os.kill(pid, number)
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 75, stderr
    stored = rows_on_disk(tmp_path / "run")
    assert f"{stored} of 140 answers are stored" in stderr
    assert "died" not in stderr
    assert 0 < stored < 140
    assert table(run(settings, tmp_path / "run")) == whole


@pytest.mark.slow
@linux
def test_a_second_interrupt_stops_at_once_and_leaves_no_worker(options, tmp_path):
    process = start(["2000" if value == "70" else value for value in options], tmp_path / "run")
    wait_for_rows(process, tmp_path / "run")
    workers = workers_of(process.pid)
    os.kill(workers[0], signal.SIGSTOP)  # It will never finish what is in progress.
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 75, stderr
    wait_for(lambda: not any(map(alive, workers)))


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_a_model_that_a_worker_cannot_load_is_one_line_and_leaves_nothing(random_model, tmp_path):
    model = copytree(random_model, tmp_path / "model")
    (model / "tokenizer.json").write_text("{")
    done = freqq("eval", "--limit", "3", "--model", str(model), "--workers", "2", "--out", str(tmp_path / "run"))
    assert done.exit_code == 2
    assert "cannot read the configuration of" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_shards_of_any_number_give_the_same_table(settings, whole, tmp_path):
    for count in (2, 3, 7):
        path = tmp_path / str(count)
        for index in range(count):
            run(settings, path, shard=Shard(index, count))
        merge(path)
        assert table(path) == whole
        assert len(part_files(path)) >= count
        assert pq.read_metadata(path / "results.parquet").num_rows == 140


@pytest.mark.slow
@linux
def test_a_second_command_on_a_run_is_refused_and_one_after_a_kill_goes_on(options, whole, tmp_path):
    first = start(options, tmp_path / "run")
    wait_for_rows(first, tmp_path / "run")
    workers = workers_of(first.pid)
    os.kill(workers[0], signal.SIGSTOP)  # the first one is at work until it is killed
    second = freqq("eval", *options, "--workers", "2", "--out", str(tmp_path / "run"))
    assert second.exit_code == 2
    assert f"part 0/1 of {tmp_path / 'run'} is held by process {first.pid}" in second.stderr
    assert second.stderr.count("\n") == 1
    first.kill()
    third = start(options, tmp_path / "run")  # a worker of the first one still holds the run
    wait_for(lambda: "shard_process" not in command_of(workers[1]))
    os.kill(workers[0], signal.SIGCONT)
    _, stderr = third.communicate(timeout=600)
    first.communicate(timeout=600)
    assert third.returncode == 0, stderr
    assert f"process {first.pid}" in stderr
    assert "is gone: going on in its place" in stderr
    assert all(finding.passed for finding in verify(tmp_path / "run"))
    assert table(tmp_path / "run") == whole


def test_a_command_that_is_refused_takes_nothing_from_the_one_at_work(settings, tmp_path, monkeypatch):
    """Both found no run; the other one was faster to lock it, and has no part yet."""
    record = RunDirectory.record

    def overtaken(self, description):
        is_new = record(self, description)
        held.enter_context(lock(self.path, Shard()))
        return is_new

    monkeypatch.setattr(RunDirectory, "record", overtaken)
    with ExitStack() as held:
        with pytest.raises(UserError, match=f"is held by process {os.getpid()}"):
            run(settings, tmp_path / "run")
        assert (tmp_path / "run" / "run.json").is_file()
        assert (tmp_path / "run" / "parts").is_dir()


def test_a_run_that_is_held_is_refused(settings, tmp_path):
    (tmp_path / "run").mkdir()
    with lock(tmp_path / "run", Shard()), pytest.raises(UserError, match=f"process {os.getpid()}"):
        run(settings, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_worker_on_a_gpu_gives_the_table_of_one_process_there(settings, tmp_path):
    path = run(settings, tmp_path / "run", machine=Machine(gpus=1))
    assert table(path) == table(run(settings, tmp_path / "here"))
    assert {row["device"] for row in table(path)} == {"cuda:0"}
