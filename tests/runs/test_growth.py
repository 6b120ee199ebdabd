"""A larger --limit adds to a run directory; files of data that were skipped are recorded there."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from freqq.data.mini import chat_record, exchanges
from freqq.errors import FreqqError, UserError
from freqq.runs.directory import RunDirectory
from freqq.runs.lock import lock
from freqq.runs.merge import merge
from freqq.runs.parts import part_files
from freqq.runs.regrade import regrade
from freqq.runs.run import run
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from freqq.runs.status import status
from freqq.runs.verify import verify


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve records of MRCR in two bins, as the file says nothing of."""
    path = tmp_path_factory.mktemp("data") / "questions.jsonl"
    records = (chat_record(rng, *exchanges(rng, 2, test=True)) for rng in map(random.Random, range(12)))
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture(scope="module")
def settings(random_model: str, questions: Path) -> Settings:
    return Settings(model=random_model, data=str(questions), dpi=40, levels=("mild",), limit=4, max_new_tokens=2)


def plan(path):
    return json.loads((path / "run.json").read_text())


def content(path):
    return {row.sample_id: (row.method, row.response, row.score) for row in RunDirectory(path).read()}


def test_a_larger_limit_adds_and_keeps_what_was_answered(settings, tmp_path):
    path = run(settings, tmp_path / "run")
    small, before = plan(path), {p: p.read_bytes() for p in part_files(path)}
    assert small["samples"] != [f"2needle-{i}" for i in range(4)]  # drawn, and not the first
    notes, seen = [], []
    run(replace(settings, limit=9), path, note=notes.append, progress=lambda done, total: seen.append((done, total)))
    assert f"{path} grows from 4 to 9 samples; its answers are kept" in notes
    assert seen[0] == (8, 18)
    assert set(small["samples"]) < set(plan(path)["samples"])
    assert {p: p.read_bytes() for p in before} == before
    assert content(path) == content(run(replace(settings, limit=9), tmp_path / "at once"))
    assert plan(path) == plan(tmp_path / "at once")
    assert all(finding.passed for finding in verify(path))


def test_beyond_what_there_is_all_are_taken_in_their_order(settings, tmp_path):
    path = run(replace(settings, limit=100, baseline=False), tmp_path / "run")
    assert plan(path)["samples"] == [f"2needle-{i}" for i in range(12)]
    assert plan(path)["drawn"] == [{"needles": 2, "bin": "0k_8k", "drawn": 12, "there": 12}]


def test_the_usual_directory_is_that_of_every_limit(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = replace(settings, data="mini", dpi=None)
    paths = [run(replace(asked, limit=limit)) for limit in (2, 5)]
    assert paths[0] == paths[1]
    assert len(plan(paths[1])["samples"]) == 5
    with pytest.raises(UserError, match=r"with limit = 5, and a smaller one does not make it smaller: .* --limit 3"):
        run(replace(asked, limit=3))


def test_shards_grow_together(settings, tmp_path):
    for limit in (2, 4):
        for index in (0, 1):
            run(replace(settings, limit=limit), tmp_path / "run", shard=Shard(index, 2))
        merge(tmp_path / "run")
    assert content(tmp_path / "run") == content(run(settings, tmp_path / "whole"))


def test_other_samples_are_no_smaller_draw(settings, tmp_path):
    path = run(settings, tmp_path / "run")
    (path / "run.json").write_text(json.dumps(plan(path) | {"samples": [f"2needle-{i}" for i in range(4)]}))
    with pytest.raises(UserError, match="has samples that are not among those of a larger --limit"):
        run(replace(settings, limit=6), path)
    with pytest.raises(UserError, match="a run with seed = 0, not 1"):
        run(replace(settings, limit=6, seed=1), path)


def test_a_run_that_was_graded_again_is_not_added_to_by_other_rules(settings, tmp_path):
    few = replace(settings, limit=1, levels=("baseline",))
    path = run(few, tmp_path / "run")
    regrade(path, "glyph")
    before = (path / "run.json").read_bytes()
    for shard in (None, Shard(0, 2)):
        with pytest.raises(UserError, match="graded again by the protocol glyph"):
            run(replace(few, limit=4), path, shard=shard)
        assert (path / "run.json").read_bytes() == before


def test_a_run_that_was_graded_again_grows_without_new_samples_and_says_so_still(settings, tmp_path):
    path = tmp_path / "run"
    one = {"settings": replace(settings, limit=1).as_json(), "samples": ["a"], "arms": []}
    RunDirectory(path).record(one)
    RunDirectory(path).write(one | {"regraded": "glyph", "skipped": []})
    assert RunDirectory(path).grow(one | {"settings": replace(settings, limit=2).as_json()})
    assert plan(path) == one | {"settings": replace(settings, limit=2).as_json(), "regraded": "glyph"}


def test_a_run_does_not_grow_under_who_holds_it(settings, tmp_path):
    path = run(settings, tmp_path / "run")
    before = (path / "run.json").read_bytes()
    with lock(path, Shard(0, 3)), pytest.raises(UserError):
        run(replace(settings, limit=6), path)
    assert (path / "run.json").read_bytes() == before


def test_growth_that_could_not_begin_leaves_the_run_as_it_was(settings, tmp_path, monkeypatch):
    path = run(settings, tmp_path / "run")
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name[0] != "."}

    def fail(*given):
        raise FreqqError("no memory for the model")

    monkeypatch.setattr("freqq.runs.run._evaluate_here", fail)
    with pytest.raises(FreqqError, match="no memory"):
        run(replace(settings, limit=6), path)
    assert {p: p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name[0] != "."} == before


def test_results_from_before_it_grew_are_not_all_of_it(settings, tmp_path):
    path = run(settings, tmp_path / "run")
    assert status(path).merged
    more = [*plan(path)["samples"], "2needle-98", "2needle-99"]
    (path / "run.json").write_text(json.dumps(plan(path) | {"samples": more}))
    found = status(path)
    assert (found.merged, found.state, found.stored, found.planned) == (False, "stopped", 8, 12)


def test_skipped_files_are_recorded_and_the_keys_are_those_of_the_others(settings, questions, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "bad.jsonl").write_text("{")
    (tmp_path / "data" / "good.jsonl").write_bytes(questions.read_bytes())
    data, few = str(tmp_path / "data"), replace(settings, limit=2, baseline=False)
    with pytest.raises(UserError, match=r"bad\.jsonl.*--skip-bad"):
        replace(few, data=data)
    path = run(replace(few, data=data, skip_bad=True), tmp_path / "run")
    assert [file["file"] for file in plan(path)["skipped"]] == ["bad.jsonl"]
    (tmp_path / "data" / "bad.jsonl").unlink()
    alone = plan(run(replace(few, data=data), tmp_path / "alone"))
    for name in ("arms", "samples", "data_revision", "drawn"):
        assert plan(path)[name] == alone[name]
