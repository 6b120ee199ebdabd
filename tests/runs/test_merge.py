"""Merging: the plan's order, one row a key, whatever the parts."""

import random
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freqq.errors import FreqqError, UserError
from freqq.runs import merge as module
from freqq.runs.directory import RunDirectory
from freqq.runs.merge import merge, planned_keys
from freqq.runs.parts import PartWriter
from freqq.runs.schema import from_table
from freqq.runs.shard import Shard
from tests.runs.test_parts import later
from tests.runs.test_schema import make_row

HASHES = ("h", "g")


def plan_of(path, count):
    plan = {
        "settings": {},
        "samples": [f"s-{i}" for i in range(count)],
        "arms": [{"method": "token", "level": "mild", "params": "{}", "config_hash": h} for h in HASHES],
    }
    RunDirectory(path).record(plan)
    return plan


def write(path, rows, versions="1"):
    writer = PartWriter(path, Shard(), {"versions": versions, "hardware": "x"})
    writer.add(rows)
    writer.flush()


def rows_of(plan):
    return [make_row(sample_id=s, config_hash=h, response=f"{s} {h}") for s, h in planned_keys(plan)]


@settings(max_examples=25)
@given(st.data())
def test_any_parts_in_any_order_give_the_plans_order(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STRETCH", data.draw(st.integers(1, 30)))
        patch.setattr(module, "GATHERED", data.draw(st.integers(1, 30)))
        plan = plan_of(path, data.draw(st.integers(1, 12)))
        rows = rows_of(plan)
        shuffled = data.draw(st.permutations(rows))
        cuts = sorted(data.draw(st.sets(st.integers(0, len(rows)), max_size=5)))
        for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
            if start < end:
                write(path, shuffled[start:end])
        merge(path)
    assert RunDirectory(path).read() == rows
    assert sorted(p.name for p in path.iterdir()) == ["parts", "results.parquet", "run.json"]


def test_the_same_rows_give_the_same_bytes(tmp_path):
    contents = set()
    for seed in (0, 1):
        path = tmp_path / str(seed)
        rows = rows_of(plan_of(path, 9))
        random.Random(seed).shuffle(rows)
        write(path, rows[:7], versions=str(seed))
        write(path, rows[7:], versions=str(1 - seed))
        merge(path)
        contents.add((path / "results.parquet").read_bytes())
    assert len(contents) == 1


def test_an_answer_stands_for_the_failures_of_its_key_and_the_last_failure_for_others(tmp_path):
    rows = rows_of(plan_of(tmp_path, 2))
    failed = [later(make_row(sample_id="s-0", config_hash="h", error=f"E: {i}"), i) for i in range(3)]
    lost = [later(make_row(sample_id="s-0", config_hash="g", error=f"E: {i}"), i) for i in range(3)]
    for some in ([failed[2], lost[2]], [*rows[2:], rows[0], lost[0]], [failed[0], lost[1]]):
        write(tmp_path, some)
    merge(tmp_path)
    assert RunDirectory(tmp_path).read() == [rows[0], lost[2], *rows[2:]]


def test_what_is_missing_doubled_or_unplanned_is_refused_and_older_results_stay(tmp_path):
    rows = rows_of(plan_of(tmp_path, 3))
    write(tmp_path, rows[:4])
    with pytest.raises(
        FreqqError, match=f"2 of 6 answers are missing in {tmp_path}: continue with freqq eval .*--out {tmp_path}"
    ):
        merge(tmp_path)
    write(tmp_path, rows[4:])
    merge(tmp_path)
    before = (tmp_path / "results.parquet").read_bytes()
    write(tmp_path, [make_row(sample_id="s-9")])
    with pytest.raises(FreqqError, match="never planned, the first of s-9"):
        merge(tmp_path)
    assert (tmp_path / "results.parquet").read_bytes() == before


@pytest.mark.parametrize("order", [1, -1])
def test_an_answer_that_is_there_twice_counts_once(tmp_path, order):
    """Equal ones collapse; of those that differ the first counts, and all are kept aside and named."""
    rows = rows_of(plan_of(tmp_path, 3))
    hour = timedelta(hours=1)
    same = [replace(row, started_at=row.started_at + hour, vision_ms=9.0, shard="1/2") for row in rows[:2]]
    other = replace(rows[4], started_at=rows[4].started_at + hour, response="another", score=0.5)
    for part in [rows, same, [other], same[:1]][::order]:
        write(tmp_path, part)
    notes = []
    merge(tmp_path, notes.append)
    assert RunDirectory(tmp_path).read() == rows
    aside = from_table(pq.read_table(tmp_path / "duplicates.parquet"))
    assert aside == [rows[4], other]
    [note] = notes
    assert f"such as {other.sample_id}: the first counts, all are in {tmp_path / 'duplicates.parquet'}" in note


def test_a_run_in_which_all_failed_is_an_error_with_results(tmp_path):
    plan = plan_of(tmp_path, 2)
    write(tmp_path, [make_row(sample_id=s, config_hash=h, error=f"E: {s}") for s, h in planned_keys(plan)])
    with pytest.raises(FreqqError, match="all 4 answers failed, the first with E: s-0"):
        merge(tmp_path)
    assert len(RunDirectory(tmp_path).read()) == 4


@pytest.mark.parametrize("text", ["[]", "{}", '{"samples": 3, "arms": []}'])
def test_a_description_that_plans_nothing_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json"):
        merge(tmp_path)


def test_memory_does_not_grow_with_the_rows(tmp_path):
    """Four times the rows, each with a text of 4 KB, and no more memory for tables at any moment."""
    code = (
        "import sys; from pathlib import Path; import pyarrow as pa; from freqq.runs import merge as m\n"
        "m.STRETCH = m.GATHERED = 256\n"
        "m.merge(Path(sys.argv[1])); print(pa.default_memory_pool().max_memory())"
    )
    peaks = []
    for count in (1000, 4000):
        path = tmp_path / str(count)
        rows = rows_of(plan_of(path, count))
        chance = random.Random(0)
        for start in range(0, len(rows), 250):
            write(path, [replace(row, answer=chance.randbytes(2000).hex()) for row in rows[start : start + 250]])
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
        assert pq.read_metadata(path / "results.parquet").num_rows == 2 * count
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 0.5 * 2 * 4000 * 4000
