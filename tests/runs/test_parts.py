"""Parts: written soon, whole, and readable."""

import errno
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from freqq.errors import FreqqError
from freqq.runs import parts
from freqq.runs.parts import PartWriter, answered, part_files, read_metadata, read_part, read_rows, sweep
from freqq.runs.schema import SCHEMA, from_table
from freqq.runs.shard import Shard
from tests.runs.test_schema import make_row


@pytest.fixture
def run(tmp_path):
    (tmp_path / "parts").mkdir()
    return tmp_path


def rows_of(run):
    return [row for path in part_files(run) for row in from_table(read_rows(path))]


def test_rows_and_metadata_survive(run):
    writer = PartWriter(run, Shard(1, 2), {"config": {"a": [1]}})
    rows = [make_row(), make_row(sample_id="s-1")]
    writer.add(rows)
    assert part_files(run) == []
    writer.flush()
    writer.flush()
    [path] = run.glob("parts/1-of-2-*.parquet")
    assert rows_of(run) == rows
    assert read_metadata(read_part(path)) == {"config": {"a": [1]}}


def test_at_most_sixteen_samples_wait(run):
    writer = PartWriter(run, Shard(), {})
    for i in range(40):
        writer.add([make_row(sample_id=f"s-{i}", config_hash=h) for h in "ab"])
        writer.end_batch()
        assert len({r.sample_id for r in rows_of(run)}) > i - 16
    assert len(part_files(run)) == 2


def test_no_row_waits_for_a_minute(run, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(parts, "monotonic", lambda: now[0])
    writer = PartWriter(run, Shard(), {})
    writer.add([make_row()])
    now[0] = 59.0
    writer.add([make_row(sample_id="s-1")])
    assert part_files(run) == []
    now[0] = 60.0
    writer.add([make_row(sample_id="s-2")])
    assert len(rows_of(run)) == 3


def test_done_keys_are_those_with_an_answer_if_failures_are_retried(run):
    writer = PartWriter(run, Shard(), {})
    writer.add([make_row(), make_row(sample_id="s-1", error="OSError: no")])
    writer.flush()
    assert answered(run) == {("s-0", "h"), ("s-1", "h")}
    assert answered(run, retry_failed=True) == {("s-0", "h")}
    began = make_row().started_at.timestamp()
    assert answered(run, retry_failed=True, before=began) == answered(run)
    assert answered(run, retry_failed=True, before=began + 1) == {("s-0", "h")}


def test_any_flipped_bit_is_found(run):
    writer = PartWriter(run, Shard(), {})
    writer.add([make_row(sample_id=f"s-{i}", response="text " * i, kv_bytes=i) for i in range(30)])
    writer.flush()
    [path] = part_files(run)
    content = path.read_bytes()
    for at in range(0, len(content), 97):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        with pytest.raises(FreqqError, match=r"is damaged .* delete it"):
            read_part(path)
    path.write_bytes(content[:-1])
    with pytest.raises(FreqqError, match="damaged"):
        answered(run)


def test_rows_of_an_older_version_are_read_and_unknown_ones_refused(run):
    writer = PartWriter(run, Shard(), {})
    writer.add([make_row(truncated=True)])
    writer.flush()
    [path] = part_files(run)
    table = read_part(path)
    path.unlink()
    path = path.with_name("as-older-versions-named-it.parquet")
    pq.write_table(table.drop_columns(["truncated", "cer"]), path)
    assert from_table(read_rows(path)) == [make_row()]
    wrong = {
        "unknown columns colour": table.append_column("colour", pa.array(["red"])),
        "lacks the columns score": table.drop_columns(["score"]),
        "other types": table.set_column(
            table.column_names.index("kv_bytes"), pa.field("kv_bytes", pa.string()), pa.array(["much"])
        ),
    }
    for message, other in wrong.items():
        pq.write_table(other, path)
        with pytest.raises(FreqqError, match=message):
            read_rows(path)
    assert set(SCHEMA.names) == set(table.column_names)


def test_sweeping_leaves_parts_and_other_shards_alone(run):
    names = [".0-of-2-a.parquet.1.tmp", ".1-of-2-a.parquet.1.tmp", "0-of-2-a.parquet"]
    for name in names:
        (run / "parts" / name).touch()
    sweep(run, Shard(0, 2))
    assert {p.name for p in (run / "parts").iterdir()} == set(names[1:])


def part_under_its_temporary_name(run, monkeypatch):
    """A part whose new name a file system forgets, though it said that all went well."""
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda self, target: target)
        writer = PartWriter(run, Shard(), {})
        writer.add([make_row()])
        writer.flush()
    [temporary] = (run / "parts").iterdir()
    return temporary


def test_a_part_whose_rename_was_lost_is_never_read_before_it_has_its_name_again(run, monkeypatch):
    temporary = part_under_its_temporary_name(run, monkeypatch)
    assert part_files(run) == []
    assert answered(run) == set()
    sweep(run, Shard(1, 2))
    assert temporary.exists()
    sweep(run, Shard())
    assert rows_of(run) == [make_row()]
    assert not temporary.exists()


def test_no_part_is_made_of_half_a_file(run, monkeypatch):
    temporary = part_under_its_temporary_name(run, monkeypatch)
    content = temporary.read_bytes()
    for length in range(0, len(content), 97):
        temporary.write_bytes(content[:length])
        sweep(run, Shard())
        assert list((run / "parts").iterdir()) == []


def test_a_rename_that_is_repeated_because_its_reply_was_lost_is_no_error(run, monkeypatch):
    rename = Path.replace

    def twice(self, target):
        rename(self, target)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", twice)
    writer = PartWriter(run, Shard(), {})
    writer.add([make_row()])
    writer.flush()
    assert rows_of(run) == [make_row()]


def test_a_rename_that_fails_is_named_and_leaves_nothing(run, monkeypatch):
    def stale(self, target):
        raise OSError(errno.ESTALE, "Stale file handle")

    writer = PartWriter(run, Shard(), {})
    writer.add([make_row()])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stale)
        with pytest.raises(FreqqError, match=r"cannot write to .*parts: Stale file handle.*run the same command again"):
            writer.flush()
    assert list((run / "parts").iterdir()) == []
    writer.flush()
    assert rows_of(run) == [make_row()]


def later(row, seconds):
    return replace(row, started_at=row.started_at + timedelta(seconds=seconds))
