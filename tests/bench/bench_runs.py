"""What runs are made of, against the plain way to do it, in the same process and with equal results.

Merging 100,000 rows, batched answers against a loop of single `generate` calls, two workers against one.
"""

import os
import random
import subprocess
import sys
from pathlib import Path
from time import process_time

import pyarrow.parquet as pq
import pytest

import freqq
from freqq.data.index import Entry
from freqq.data.mini import mini
from freqq.pages.render import render
from freqq.runs.directory import RunDirectory
from freqq.runs.machine import Machine
from freqq.runs.merge import merge, planned_keys
from freqq.runs.parts import PartWriter
from freqq.runs.plan import share
from freqq.runs.rendering import messages, sample_style
from freqq.runs.run import run
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from tests.conftest import needs_tiny
from tests.runs.killing import table
from tests.runs.test_schema import make_row

ROWS, ARMS = 100_000, 10


def parts_of(path: Path, rows: int, rows_a_part: int) -> None:
    """A run of so many rows with texts, in parts in no order."""
    arms = [{"method": "token", "level": str(i), "params": "{}", "config_hash": f"h{i}"} for i in range(ARMS)]
    plan = {"settings": {}, "samples": [f"s-{i}" for i in range(rows // ARMS)], "arms": arms}
    RunDirectory(path).record(plan)
    keys, chance = planned_keys(plan), random.Random(0)
    chance.shuffle(keys)
    writer = PartWriter(path, Shard(), {"versions": {"a": "1"}, "hardware": {"b": "2"}})
    for start in range(0, rows, rows_a_part):
        writer.add(
            [
                make_row(sample_id=s, config_hash=h, response=chance.randbytes(150).hex(), score=chance.random())
                for s, h in keys[start : start + rows_a_part]
            ]
        )
        writer.flush()


@pytest.mark.parametrize("samples_a_part", [16, 4])
def test_merging(benchmark, tmp_path, samples_a_part):
    """Parts of 16 samples, as most are, and of 4, as of a slow model's runs."""
    rows = ROWS if benchmark.enabled else 2000
    parts_of(tmp_path / "run", rows, samples_a_part * ARMS)
    benchmark.pedantic(merge, (tmp_path / "run",), rounds=3 if benchmark.enabled else 1)
    assert pq.read_metadata(tmp_path / "run" / "results.parquet").num_rows == rows


@needs_tiny
def test_batched_answers(benchmark):
    """A run's batches against a loop of single `generate` calls on the same pages, which were seen before."""
    count, size = (96, 16) if benchmark.enabled else (6, 3)
    reader = freqq.load_reader("tiny", device="cpu")
    samples = [entry.bare for entry in share([Entry(sample) for sample in mini(2, count)], Shard())]
    grids = reader.see_many([list(render(messages(s), sample_style(s))) for s in samples])
    questions = [s.question for s in samples]

    def answers(at_once: int) -> list[str]:
        starts = range(0, count, at_once)
        batches = (reader.answer_many(questions[i : i + at_once], grids[i : i + at_once], 64) for i in starts)
        return [answer.text for batch in batches for answer in batch]

    start = process_time()
    alone = answers(1)
    took = process_time() - start
    start = process_time()
    assert benchmark.pedantic(answers, (size,), rounds=1) == alone
    ratio = took / (process_time() - start)
    benchmark.extra_info["ratio"] = ratio
    if benchmark.enabled:
        print(f"\none by one, {count} answers take {ratio:.2f}x the processor's time of batches of {size}")


def seconds_a_row(path: Path) -> float:
    """Of the middle half of a run's rows: without the time in which models load or the last batches end."""
    began = sorted(pq.read_table(path / "results.parquet")["started_at"].to_pylist())
    quarter = len(began) // 4
    return float((began[-quarter - 1] - began[quarter]).total_seconds() / (len(began) - 2 * quarter - 1))


@needs_tiny
@pytest.mark.slow
def test_two_workers(benchmark, tmp_path, monkeypatch):
    """Two workers of one thread each against one, and against two processes that know nothing of each other.

    What the latter reach is the machine's: two hyperthreads of one core are no two cores. What a supervisor costs
    is the difference to them, and its own processor time.
    """
    if not benchmark.enabled:
        pytest.skip("make bench runs it; tests/runs compares the tables")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    limit = 400
    settings = Settings(limit=limit)
    parent: dict[int, float] = {}

    def supervised(workers: int) -> float:
        before = process_time()
        path = run(settings, tmp_path / str(workers), machine=Machine(workers=workers))
        parent[workers] = process_time() - before
        return seconds_a_row(path)

    def strangers() -> float:
        command = [sys.executable, "-m", "freqq", "eval", "--limit", str(limit), "--out", str(tmp_path / "strangers")]
        processes = [subprocess.Popen([*command, "--shard", f"{i}/2"], stderr=subprocess.DEVNULL) for i in range(2)]
        assert [process.wait() for process in processes] == [0, 0]
        merge(tmp_path / "strangers")
        return seconds_a_row(tmp_path / "strangers")

    one = supervised(1)
    two = benchmark.pedantic(supervised, (2,), rounds=1)
    apart = strangers()
    assert table(tmp_path / "1") == table(tmp_path / "2") == table(tmp_path / "strangers")
    benchmark.extra_info["ratio"] = one / two
    print(
        f"\ntwo workers are {one / two:.2f}x as fast as one, two processes that know nothing of each other "
        f"{one / apart:.2f}x ({os.cpu_count()} processors); it took {parent[2]:.1f} s to supervise two"
    )
