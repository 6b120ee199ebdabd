"""Verifying: a good run passes, and each kind of damage is named."""

import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from freqq.errors import UserError
from freqq.runs.directory import RunDirectory
from freqq.runs.merge import merge
from freqq.runs.parts import PartWriter, part_files, read_rows
from freqq.runs.run import run
from freqq.runs.schema import from_table
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from freqq.runs.verify import verify
from tests.runs.test_parts import later


@pytest.fixture
def made(random_model, tmp_path):
    """A merged run of three samples and two arms."""
    settings = Settings(model=random_model, limit=3, levels=("mild",), max_new_tokens=3)
    return run(settings, tmp_path / "run")


def wrong(path):
    return [finding.text for finding in verify(path) if not finding.passed]


def rows_of(path):
    return [row for part in part_files(path) for row in from_table(read_rows(part))]


def rewrite(path, rows):
    for part in part_files(path):
        part.unlink()
    writer = PartWriter(path, Shard(), {})
    writer.add(rows)
    writer.flush()


def test_a_whole_run_passes_before_and_after_it_is_merged(made):
    assert wrong(made) == []
    assert any("6 of 6 planned keys are there" in finding.text for finding in verify(made))
    (made / "results.parquet").unlink()
    assert wrong(made) == []


def test_an_interrupted_run_lacks_keys(made):
    rewrite(made, rows_of(made)[:-2])
    text = " ".join(wrong(made))
    assert "2 answers are missing: mini_2needle_s0-" in text
    assert "4 of 6 planned keys are there" in text
    assert "results.parquet is not what the parts say" in text


def test_equal_answers_count_as_one_and_are_named(made):
    rows = rows_of(made)
    again = later(replace(rows[3], vision_ms=9.0, shard="1/2"), 60)
    rewrite(made, [*rows, again])
    merge(made)
    assert wrong(made) == []
    assert any(f"are equal: one of each counts ({again.sample_id})" in finding.text for finding in verify(made))


def test_answers_that_differ_pass_when_a_merge_has_kept_them_aside(made):
    rows = rows_of(made)
    other = later(replace(rows[3], response="another"), 60)
    rewrite(made, [*rows, other])
    [finding] = wrong(made)
    assert finding.startswith("1 answers are there more than once and differ, and not all are in duplicates.parquet")
    assert f"run freqq runs merge {made} ({other.sample_id})" in finding
    merge(made)
    assert wrong(made) == []
    assert any("differ: the first of each counts, all are in duplicates.parquet" in f.text for f in verify(made))
    third = later(replace(rows[3], response="a third"), 120)
    rewrite(made, [*rows, other, third])
    assert len(wrong(made)) == 1
    (made / "duplicates.parquet").write_bytes(b"PAR1")
    assert len(wrong(made)) == 1


def test_failures_that_were_retried_are_no_doubles_and_last_ones_are_counted(made):
    rows = rows_of(made)
    failed = replace(rows[0], error="OSError: no")
    rewrite(made, [failed, *rows])
    assert wrong(made) == []
    rewrite(made, [failed, failed, *rows[1:]])
    merge(made)
    assert wrong(made) == []
    assert any("6 of 6 planned keys are there, 1 of them as failures" in f.text for f in verify(made))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_id": "stranger"}, "1 answers were never planned: stranger"),
        ({"params": '{"bits": 1}'}, "rows are of arms that run.json does not have"),
        ({"model_revision": "other"}, "rows are of arms that run.json does not have"),
        ({"page_hash": "0" * 64}, "1 samples had other pages in one arm than another"),
        ({"response": "forged"}, "results.parquet is not what the parts say"),
    ],
)
def test_a_changed_row_is_found(made, change, message):
    rows = rows_of(made)
    rewrite(made, [replace(rows[0], **change), *rows[1:]])
    assert any(text.startswith(message) for text in wrong(made))


def test_a_damaged_part_is_found_and_the_others_are_checked(made):
    [part] = part_files(made)
    content = part.read_bytes()
    part.write_bytes(content[:-9] + b"x" + content[-8:])
    text = " ".join(wrong(made))
    assert "is damaged" in text
    assert "0 of 1 parts are whole" in text
    assert "6 answers are missing" in text


def test_changed_settings_no_longer_give_the_config_hashes(made):
    plan = json.loads((made / "run.json").read_text())
    plan["settings"]["max_new_tokens"] = 4
    (made / "run.json").write_text(json.dumps(plan))
    assert "config hashes follow from the settings otherwise: made by another freqq" in wrong(made)


def test_data_that_are_elsewhere_are_no_fault(made):
    plan = json.loads((made / "run.json").read_text())
    plan["settings"]["data"] = "/no/such/file.json"
    (made / "run.json").write_text(json.dumps(plan))
    assert wrong(made) == []
    assert any("were not computed again" in finding.text for finding in verify(made))


def test_results_of_an_older_version_pass(made):
    table = pq.read_table(made / "results.parquet")
    pq.write_table(table.drop_columns(["truncated"]), made / "results.parquet")
    assert wrong(made) == []
    assert RunDirectory(made).read()[0].truncated is None


def test_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="not a run directory"):
        verify(tmp_path)
