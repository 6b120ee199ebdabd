"""Run directories: whole files, checks before work, one row a key."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pyarrow.parquet as pq
import pytest

from freqq.errors import FreqqError, UserError
from freqq.files import write_whole
from freqq.runs.directory import PARTS, RunDirectory, one_per_key, read_metadata
from freqq.runs.plan import Shard
from freqq.runs.settings import Settings
from tests.runs.test_schema import make_row


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    def fail(path):
        path.write_text("half")
        raise RuntimeError("power cut")

    write_whole(tmp_path / "a.txt", lambda p: p.write_text("before"))
    with pytest.raises(RuntimeError):
        write_whole(tmp_path / "a.txt", fail)
    assert (tmp_path / "a.txt").read_text() == "before"
    assert files(tmp_path) == ["a.txt"]


def test_checking_leaves_nothing_behind(tmp_path):
    RunDirectory(tmp_path / "a" / "b").check(Settings())
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UserError, match="cannot write"):
            RunDirectory(path).check(Settings())


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match=r"no run\.json"):
        RunDirectory(tmp_path).check(Settings())


@pytest.mark.parametrize(
    ("change", "name"), [({"seed": 1}, "seed"), ({"levels": ("mild",)}, "levels"), ({"model": "glyph"}, "model")]
)
def test_other_settings_are_refused_and_the_difference_named(tmp_path, change, name):
    directory = RunDirectory(tmp_path)
    directory.record({"settings": Settings().as_json()})
    directory.check(Settings())
    with pytest.raises(UserError, match=f"a run with {name} = "):
        directory.check(replace(Settings(), **change))


def test_another_model_under_the_same_name_is_refused(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.record({"settings": {}, "model_revision": "old"})
    directory.record({"settings": {}, "model_revision": "old"})
    with pytest.raises(UserError, match="model_revision"):
        directory.record({"settings": {}, "model_revision": "new"})


def test_a_damaged_description_or_part_is_an_error_not_a_fresh_start(tmp_path):
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match="not readable"):
        RunDirectory(tmp_path).check(Settings())
    (tmp_path / PARTS).mkdir()
    (tmp_path / PARTS / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(FreqqError, match="damaged"):
        RunDirectory(tmp_path).rows()


def test_parts_hold_rows_and_metadata(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.record({"settings": {}})
    rows = [make_row(), make_row(sample_id="s-1")]
    for row in rows:
        directory.add([row], Shard(1, 2), {"config": {"a": [1]}, "versions": {"freqq": "x"}})
    assert sorted(directory.rows(), key=lambda r: r.sample_id) == rows
    parts = list((tmp_path / PARTS).glob("1-of-2-*.parquet"))
    assert len(parts) == 2
    assert read_metadata(pq.read_table(parts[0])) == {"config": {"a": [1]}, "versions": {"freqq": "x"}}


def test_an_answer_stands_for_the_failures_of_its_key():
    failed = make_row(error="OSError: no")
    later = replace(failed, error="OSError: again", started_at=failed.started_at + timedelta(seconds=1))
    good = replace(failed, error=None, score=1.0)
    assert one_per_key([failed, good, later]) == [good]
    assert one_per_key([later, failed]) == [later]
    with pytest.raises(FreqqError, match="answered 2 times"):
        one_per_key([good, good])


def test_a_shard_is_held_by_one_process(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.record({"settings": {}})
    code = (
        "import sys; from pathlib import Path; from freqq.runs.directory import RunDirectory as D\n"
        "from freqq.runs.plan import Shard as S\n"
        "with D(Path(sys.argv[1])).lock(S(int(sys.argv[2]), 2)): pass"
    )

    def elsewhere(index):
        return subprocess.run([sys.executable, "-c", code, tmp_path, str(index)], capture_output=True, text=True)

    with directory.lock(Shard(0, 2)):
        busy, free = elsewhere(0), elsewhere(1)
    assert "another process" in busy.stderr
    assert free.returncode == 0
    assert elsewhere(0).returncode == 0
    assert json.loads((tmp_path / "run.json").read_text()) == {"settings": {}}
