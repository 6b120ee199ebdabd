"""Responses that are graded again: without a model, in whole files, and as they would have been graded at once."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from freqq.data.draws import Drawn
from freqq.data.index import Entry
from freqq.data.mini import mini
from freqq.data.responses import ANSWERED, CUT_THINKING
from freqq.errors import UserError
from freqq.report.evidence import gather
from freqq.report.results import read_results
from freqq.runs.directory import RunDirectory
from freqq.runs.grading import marked
from freqq.runs.lock import lock
from freqq.runs.merge import merge
from freqq.runs.parts import PartWriter, part_files, read_metadata
from freqq.runs.plan import Identity, arms, config_hash
from freqq.runs.protocols import PROTOCOLS
from freqq.runs.regrade import _regraded, regrade
from freqq.runs.run import _check_grading, describe
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from freqq.runs.verify import verify
from tests.cli.test_app import freqq
from tests.runs.test_schema import make_row

SETTINGS = Settings(limit=4, methods=("token",), levels=("mild",))
IDENTITY = Identity("r", "float32")
SAMPLES = list(mini(2, 4))


def responses(answer: str) -> list[str]:
    """One in each form that tells the protocols apart: Glyph's scripts know no frames, and keep no white space."""
    return [
        answer,
        f"<think>hm</think>\n<|begin_of_box|>{answer}<|end_of_box|>",
        f"<think>hm</think>\n{answer}<|user|>",
        f"<think>it is {answer}",
    ]


@pytest.fixture(params=["now", "before"])
def made(request, tmp_path):
    """A run of two arms whose responses were graded as they came, as before frames were known; `before`, with the
    columns and settings of then."""
    path, todo = tmp_path / "run", arms(SETTINGS)
    description = describe(SETTINGS, IDENTITY, todo, Drawn(tuple(map(Entry, SAMPLES))))
    if request.param == "before":
        description["settings"]["generation"] = "greedy"
        del description["settings"]["protocol"]
    RunDirectory(path).record(description)
    for arm in todo:
        writer = PartWriter(path, Shard(), {"config": {"some": "thing"}})
        for i, sample in enumerate(SAMPLES):
            said = responses(sample.answer)[i]
            row = make_row(
                sample_id=sample.id, config_hash=config_hash(SETTINGS, IDENTITY, arm), method=arm.name, level=arm.level,
                params=arm.params,
                answer=sample.answer, bin=sample.bin, started_at=datetime(2026, 1, 2, 3, 4, i, tzinfo=UTC),
            )  # fmt: skip
            writer.add([replace(row, response=said, score=float(i == 0), exact=i == 0, truncated=i == 3)])
        writer.flush()
    if request.param == "before":
        for file in part_files(path):
            table = pq.read_table(file)
            named = ["none" if name == "baseline" else name for name in table["method"].to_pylist()]
            table = table.set_column(table.column_names.index("method"), "method", pa.array(named))
            pq.write_table(
                table.drop_columns(["graded", "outcome"]),
                file.with_name(
                    "0-of-1-20260102-0123abcd.parquet" if "none" in named else "0-of-1-20260103-4567cdef.parquet"
                ),
            )
            file.unlink()
    merge(path)
    return path


def rows(path) -> dict:
    return {row.key: row for row in RunDirectory(path).read()}


def test_a_run_is_graded_as_if_it_had_been_at_once(made):
    before = rows(made)
    done = regrade(made)
    assert (done.protocol, done.whole) == ("official", True)
    assert [(c.method, c.n, c.changed, c.before, c.after) for c in done.changes] == [
        ("baseline", 4, 2, 0.25, 0.75), ("token", 4, 2, 0.25, 0.75),
    ]  # fmt: skip
    known = {sample.id: sample for sample in SAMPLES}
    for key, row in rows(made).items():
        assert row == marked(before[key], known[row.sample_id], before[key].response)
        assert row.graded == ("" if row.truncated else known[row.sample_id].answer)
        assert row.outcome == (CUT_THINKING if row.truncated else ANSWERED)
    assert [finding.text for finding in verify(made) if not finding.passed] == []
    assert [read_metadata(pq.read_table(file)) for file in part_files(made)] == [{"config": {"some": "thing"}}] * 2


def test_grading_twice_changes_nothing(made):
    regrade(made)
    files = {file: file.read_bytes() for file in [*part_files(made), made / "results.parquet", made / "run.json"]}
    assert all(change.changed == 0 for change in regrade(made).changes)
    assert {file: file.read_bytes() for file in files} == files
    assert len(part_files(made)) == 2


def test_another_protocol_is_noted_and_undone(made):
    done = regrade(made, "glyph")
    assert [change.after for change in done.changes] == [0.5, 0.5]  # Glyph's scripts know no box
    assert json.loads((made / "run.json").read_text())["regraded"] == "glyph"
    known = {sample.id: sample for sample in SAMPLES}
    for row in rows(made).values():
        assert row.score == marked(row, known[row.sample_id], row.response, PROTOCOLS["glyph"]).score
    assert [change.after for change in regrade(made).changes] == [0.75, 0.75]
    assert "regraded" not in json.loads((made / "run.json").read_text())


def test_what_was_stopped_midway_is_finished_by_the_same_command(made, monkeypatch):
    old = {file: file.read_bytes() for file in part_files(made)}
    regrade(made)
    whole = {file: file.read_bytes() for file in part_files(made)}
    # The new part was there and the old one was not removed yet, as when the process is killed between the two.
    file, content = next(iter(old.items()))
    file.write_bytes(content)
    regrade(made)
    assert {file: file.read_bytes() for file in part_files(made)} == whole


def test_results_without_parts_are_graded_where_they_are(made):
    for file in part_files(made):
        file.unlink()
    metadata = read_metadata(pq.read_table(made / "results.parquet"))
    assert [change.after for change in regrade(made).changes] == [0.75, 0.75]
    assert {row.outcome for row in rows(made).values()} == {ANSWERED, CUT_THINKING}
    assert read_metadata(pq.read_table(made / "results.parquet")) == metadata


def test_a_run_that_is_not_whole_keeps_its_parts(made):
    part_files(made)[0].unlink()
    (made / "results.parquet").unlink()
    done = regrade(made)
    assert not done.whole
    assert [change.after for change in done.changes] == [0.75]
    assert not (made / "results.parquet").exists()


def test_a_failed_sample_stays_as_it_is():
    failed = make_row(error="OutOfMemory: no")
    assert _regraded(failed, {}, PROTOCOLS["official"], {}) == failed


def test_a_sample_that_was_answered_again_counts_once_as_in_the_results(made):
    """What failed before an answer, and answers after the first, are in the parts, but not in the results."""
    row = next(row for row in rows(made).values() if row.method == "token" and row.score == 1)
    writer = PartWriter(made, Shard(), {})
    writer.add(
        [replace(row, error="OSError: disk", response=None, score=0.0, started_at=datetime(2025, 1, 1, tzinfo=UTC))]
    )
    writer.add([replace(row, response="no", score=0.0, started_at=datetime(2027, 1, 1, tzinfo=UTC))])
    writer.flush()
    done = regrade(made)
    assert [(c.method, c.n, c.changed, c.before, c.after) for c in done.changes] == [
        ("baseline", 4, 2, 0.25, 0.75), ("token", 4, 2, 0.25, 0.75),
    ]  # fmt: skip


def test_a_report_tells_how_its_results_were_graded_and_not_how_parts_were_since(made):
    assert read_results(made).description["regraded"] is None
    regrade(made, "glyph")
    assert (read_results(made).description["regraded"], read_results(made).note) == ("glyph", "")
    for file in part_files(made)[1:]:
        file.unlink()
    assert not regrade(made).whole
    found = read_results(made)
    assert found.description["regraded"] == "glyph"
    assert found.note.endswith(f"from before it was graded again: run freqq regrade {made}")
    part_files(made)[0].unlink()
    assert regrade(made).whole
    assert (read_results(made).description["regraded"], read_results(made).note) == (None, "")


def test_results_of_a_run_that_has_grown_are_described_as_they_are(made):
    plan = json.loads((made / "run.json").read_text())
    grown = {"samples": [*plan["samples"], "more"], "settings": plan["settings"] | {"limit": 5}}
    (made / "run.json").write_text(json.dumps(plan | grown))
    said = f"the results of {made} are those of 4 of 5 samples: run freqq runs merge {made}"
    evidence = gather([made])
    assert (evidence.warnings, evidence.runs[0].n_samples) == ((said,), 4)
    assert " --limit 4 " in evidence.runs[0].command
    assert said in " ".join(freqq("leaderboard", str(made), "--min-samples", "1").stderr.split())


def test_what_cannot_be_graded_again_is_one_line(made, tmp_path):
    with pytest.raises(UserError, match="not a run directory"):
        regrade(tmp_path / "nothing")
    with pytest.raises(UserError, match="unknown protocol 'glyf': did you mean 'glyph'"):
        regrade(made, "glyf")
    with lock(made, Shard()), pytest.raises(UserError):
        regrade(made)
    plan = json.loads((made / "run.json").read_text())
    for change, message in (
        ({"data_revision": "mini-0"}, "have changed since"),
        ({"samples": [*plan["samples"], "mini_2needle_s9-0"]}, "no longer have 1 of the samples"),
        ({"settings": plan["settings"] | {"colour": "red"}}, "settings that are not known here"),
        ({"settings": plan["settings"] | {"data": "gone.json"}}, "unknown data"),
    ):
        (made / "run.json").write_text(json.dumps(plan | change))
        with pytest.raises(UserError, match=message):
            regrade(made)


def test_it_tells_after_each_file_how_many_are_done(made):
    told, files = [], len(part_files(made))
    regrade(made, progress=lambda done, total: told.append((done, total)))
    assert files > 1
    assert told == [(done, files) for done in range(1, files + 1)]


def test_answers_of_two_protocols_are_not_mixed(made):
    regrade(made, "glyph")
    part_files(made)[0].unlink()
    plan = json.loads((made / "run.json").read_text())
    with pytest.raises(UserError, match="freqq regrade"):
        _check_grading(RunDirectory(made), Settings.from_json(plan["settings"]))


def test_the_command_says_what_changed_and_the_summary_follows(made):
    done = freqq("regrade", str(made))
    assert done.exit_code == 0, done.stderr
    assert "4 of 8 scores changed under the protocol official" in done.stdout
    groups = json.loads((made / "summary.json").read_text())["groups"]
    assert [group["score"]["mean"] for group in groups] == [0.75, 0.75]
    assert [group["outcomes"] for group in groups] == [{CUT_THINKING: 1}] * 2
    shown = freqq("runs", "show", str(made))
    assert f"{CUT_THINKING}: 1 of 4" in shown.stdout
    told = json.loads(freqq("regrade", str(made), "--json", "--protocol", "glyph").stdout)
    assert [change["changed"] for change in told["changes"]] == [1, 1]
    assert freqq("regrade", str(made), "--protocol", "greedy").exit_code == 2
