"""Run directories: whole files, checks before work, one row a key."""

from dataclasses import replace
from pathlib import Path

import pytest

from freqq.errors import FreqqError, UserError
from freqq.files import write_whole
from freqq.runs.directory import RunDirectory, eval_command
from freqq.runs.parts import PARTS, answered
from freqq.runs.settings import Settings


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
        answered(tmp_path)


def test_all_that_differs_is_shown_and_shortened(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.record({"settings": Settings().as_json(), "samples": [f"sample-{i}" for i in range(100)]})
    with pytest.raises(UserError, match=r"levels = .*\]; seed = 0, not 1: choose another --out"):
        directory.check(Settings(seed=1, levels=("mild",)))
    with pytest.raises(UserError, match=r"samples = .*\.\.\. \(100 in all\), not \[\]") as caught:
        directory.record({"settings": Settings().as_json(), "samples": []})
    assert len(str(caught.value)) < 300


def test_a_run_from_before_a_setting_existed_had_its_default(tmp_path):
    before = {name: value for name, value in Settings().as_json().items() if name != "protocol"}
    RunDirectory(tmp_path).record({"settings": before})
    RunDirectory(tmp_path).check(Settings())
    with pytest.raises(UserError, match="protocol"):
        RunDirectory(tmp_path).check(Settings(protocol="glyph"))


def test_a_run_that_could_not_start_is_forgotten_and_one_with_rows_is_not(tmp_path):
    for name in ("empty", "begun"):
        directory = RunDirectory(tmp_path / name)
        assert directory.record({"settings": {}})
        assert not directory.record({"settings": {}})
        if name == "begun":
            (directory.path / PARTS / "a.parquet").touch()
        directory.forget()
    assert files(tmp_path) == ["begun", "begun/parts", "begun/parts/a.parquet", "begun/run.json"]


def test_reading_results_that_are_not_there_says_how_to_make_them(tmp_path):
    with pytest.raises(UserError, match="freqq runs merge"):
        RunDirectory(tmp_path).read()


def test_a_file_in_place_of_a_run_is_named(tmp_path):
    file = tmp_path / "rows"
    file.touch()
    with pytest.raises(UserError, match="rows is a file, not a run directory"):
        RunDirectory(file).plan()


def test_the_command_of_a_served_run_leaves_its_address_open():
    settings = Settings(backend="openai", served_model="glyph").as_json()
    assert eval_command(settings, Path("runs/a")).endswith("--base-url URL --out runs/a")
    assert "--base-url" not in eval_command(Settings().as_json(), Path("runs/a"))
