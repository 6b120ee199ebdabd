"""Whole runs: resumed, sharded, interrupted, all come out the same."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from freqq.data.dataset import DataSet
from freqq.data.mini import mini
from freqq.data.sample import Sample
from freqq.errors import BrokenDevice, FreqqError, Interrupted, UserError
from freqq.runs import sources
from freqq.runs.directory import RunDirectory
from freqq.runs.evaluate import BatchEvaluator
from freqq.runs.machine import Machine
from freqq.runs.merge import merge
from freqq.runs.parts import PARTS, read_metadata
from freqq.runs.run import run
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from tests.runs.faulty_device import BREAKING

KEPT = (
    "sample_id config_hash needles method level params score exact response error prompt_tokens vision_tokens".split()
)


@pytest.fixture(scope="module")
def settings(random_model: str) -> Settings:
    return Settings(model=random_model, needles=(2, 8), limit=5, levels=("mild",), max_new_tokens=6)


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    """An uninterrupted run."""
    return run(settings, tmp_path_factory.mktemp("whole") / "run")


def answers(path):
    """What must not depend on how a run was done."""
    return pq.read_table(path / "results.parquet", columns=KEPT).to_pylist()


def parts(path):
    return sorted((path / PARTS).glob("*.parquet"))


def test_results_have_every_planned_row_once_in_order(whole, settings):
    rows = RunDirectory(whole).read()
    ids = [s.id for needles in (2, 8) for s in mini(needles, 5)]
    assert [(r.sample_id, r.method) for r in rows] == [(i, m) for i in ids for m in ("baseline", "token")]
    assert all(r.error is None for r in rows)


def test_the_file_says_what_made_it(whole, settings):
    metadata = read_metadata(pq.read_table(whole / "results.parquet"))
    assert metadata["config"] == json.loads((whole / "run.json").read_text())
    assert metadata["config"]["settings"] == settings.as_json()
    assert set(metadata["versions"][0]) >= {"freqq", "torch", "transformers", "python"}
    assert metadata["hardware"][0]["device"] == "cpu"


def test_batches_do_not_show(whole, settings, tmp_path):
    assert answers(run(settings, tmp_path / "run", machine=Machine(batch_size=3))) == answers(whole)


def test_shards_do_not_show(whole, settings, tmp_path):
    for index in (2, 0, 1):
        run(settings, tmp_path / "run", shard=Shard(index, 3))
        assert not (tmp_path / "run" / "results.parquet").exists()
        if index != 1:
            with pytest.raises(FreqqError, match="are missing"):
                merge(tmp_path / "run")
    merge(tmp_path / "run")
    assert answers(tmp_path / "run") == answers(whole)


def test_running_again_does_nothing_twice(settings, tmp_path):
    path = run(settings, tmp_path / "run")
    before = {p: p.read_bytes() for p in parts(path)}
    seen = []
    run(settings, path, progress=lambda done, total: seen.append((done, total)))
    assert {p: p.read_bytes() for p in parts(path)} == before
    assert seen == [(20, 20)]


def test_a_lost_part_is_done_again(settings, tmp_path):
    path = run(replace(settings, limit=10), tmp_path / "run", machine=Machine(batch_size=4))
    before = answers(path)
    assert len(parts(path)) == 2
    parts(path)[1].unlink()
    (path / "results.parquet").unlink()
    assert answers(run(replace(settings, limit=10), path)) == before


def test_rows_that_were_never_planned_are_refused(settings, tmp_path):
    path = run(replace(settings, needles=(2,)), tmp_path / "run")
    plan = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(plan | {"samples": plan["samples"][:-1]}))
    with pytest.raises(FreqqError, match="never planned"):
        merge(path)


def test_merging_needs_a_run(tmp_path):
    with pytest.raises(UserError, match=r"no run\.json"):
        merge(tmp_path)


def test_nothing_is_written_if_the_model_cannot_be_loaded(settings, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "chatglm"}')
    with pytest.raises(UserError, match="no family that freqq reads"):
        run(replace(settings, model=str(tmp_path / "model")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_failures_are_rows_and_can_be_tried_again(settings, tmp_path, monkeypatch):
    broken = {"mini_2needle_s0-1"}

    def sometimes(needles: int | None, limit: int | None, seed: int) -> Iterator[Sample]:
        for sample in mini(needles or 2, limit or 10, seed):
            yield replace(sample, style={**sample.style, "widht": 1}) if sample.id in broken else sample

    found = DataSet("sometimes", "mini", "1", (2,), "mrcr", sometimes, generated=True)
    monkeypatch.setattr(sources, "load", lambda *given: found)
    mended = replace(settings, data="sometimes", needles=(2,))
    first = RunDirectory(run(mended, tmp_path / "run")).read()
    assert {r.sample_id for r in first if r.error} == broken
    broken.clear()
    again = RunDirectory(run(mended, tmp_path / "run")).read()
    assert again == first
    retried = RunDirectory(run(mended, tmp_path / "run", retry_failed=True)).read()
    assert len(retried) == len(first)
    assert not any(r.error for r in retried)


def test_failures_that_are_tried_again_are_so_once_however_often_it_is_stopped(settings, tmp_path, monkeypatch):
    def thrice(needles: int | None, limit: int | None, seed: int) -> Iterator[Sample]:
        for i, sample in enumerate(mini(needles or 2, limit or 10, seed)):
            yield replace(sample, style={**sample.style, "widht": 1}) if i < 3 else sample

    found = DataSet("thrice", "mini", "1", (2,), "mrcr", thrice, generated=True)
    monkeypatch.setattr(sources, "load", lambda *given: found)
    broken = replace(settings, data="thrice", needles=(2,))
    machine, path = Machine(batch_size=1), run(broken, tmp_path / "run")
    views, passes = BatchEvaluator._views, itertools.count(1)

    def breaks_at_the_third_sample(self, *given):
        if next(passes) == 5:
            raise BREAKING["assert"]()
        return views(self, *given)

    monkeypatch.setattr(BatchEvaluator, "_views", breaks_at_the_third_sample)
    seen: list[list[int]] = []

    def tried_again() -> None:
        seen.append([])
        run(broken, path, machine=machine, retry_failed=True, progress=lambda done, total: seen[-1].append(done))

    with pytest.raises(BrokenDevice):
        tried_again()
    tried_again()
    tried_again()
    assert [(done[0], done[-1]) for done in seen] == [(4, 8), (8, 10), (4, 10)]  # all was done: the third begins anew


def test_a_run_in_which_everything_failed_is_an_error(settings, tmp_path, monkeypatch):
    def never(needles: int | None, limit: int | None, seed: int) -> Iterator[Sample]:
        return (replace(s, style={**s.style, "widht": 1}) for s in mini(needles or 2, limit or 10, seed))

    monkeypatch.setattr(
        sources, "load", lambda *given: DataSet("never", "mini", "1", (2,), "mrcr", never, generated=True)
    )
    with pytest.raises(FreqqError, match="all 10 answers failed"):
        run(replace(settings, data="never", needles=(2,)), tmp_path / "run")


def test_a_run_that_is_stopped_while_it_loads_claims_nothing_and_leaves_nothing(settings, tmp_path):
    def stop(done: int, total: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match=r"^stopped; no answer was finished yet: run the same command again"):
        run(settings, tmp_path / "run", progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_run_that_is_stopped_again_and_again_goes_on_to_the_same_results(random_model, tmp_path):
    settings = Settings(model=random_model, limit=120, levels=("mild",), max_new_tokens=6)
    options = f"eval --model {random_model} --limit 120 --level mild --max-new-tokens 6 --batch-size 1".split()
    command = [sys.executable, "-m", "freqq", *options, "--out", str(tmp_path / "run")]
    stored = [0]
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        before = len(parts(tmp_path / "run"))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
        while len(parts(tmp_path / "run")) == before and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=600)
        assert process.returncode == 75, stderr
        assert "run the same command again" in stderr
        stored.append(sum(pq.read_table(p).num_rows for p in parts(tmp_path / "run")))
        assert stored[-2] < stored[-1] < 240
        assert not (tmp_path / "run" / "results.parquet").exists()
    run(settings, tmp_path / "run")
    assert answers(tmp_path / "run") == answers(run(settings, tmp_path / "whole"))
