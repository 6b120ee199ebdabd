"""RULER and LongBench on the command line."""

import json
import re

import pyarrow.parquet as pq
import pytest

from freqq.cli.options import task_names
from freqq.data.load import NAMES, load
from freqq.data.tasks import TASKS
from freqq.errors import UserError
from freqq.runs.options import tokens
from freqq.runs.settings import Settings
from tests.cli.test_app import freqq
from tests.conftest import needs_tiny


@needs_tiny
def test_the_embedded_model_runs_through_a_needle_in_its_own_look(tmp_path):
    arguments = ["eval", "--data", "ruler-mini", "--task", "niah_single_1", "--limit", "2", "--max-new-tokens", "8"]
    done = freqq(*arguments, "--context", "96", "--out", str(tmp_path / "run"))
    assert done.exit_code == 0, done.output
    rows = pq.read_table(tmp_path / "run" / "results.parquet").to_pylist()
    assert [row["error"] for row in rows] == [None] * 4
    assert {row["task"] for row in rows} == {"ruler"}
    assert {row["subtask"] for row in rows} == {"niah_single_1"}
    samples = {s.id: s for s in load("ruler-mini").with_task("niah_single_1").with_context(96).samples(limit=2)}
    for row in rows:
        marks = TASKS["ruler"].grade(samples[row["sample_id"]], row["response"])
        assert (row["score"], row["exact"]) == (marks.score, marks.exact)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [list(group["subtasks"]) for group in summary["groups"]] == [["niah_single_1"]] * 2
    again = freqq(*arguments, "--context", "96", "--out", str(tmp_path / "run"))
    assert "were there already" in again.stderr
    other = freqq(*arguments, "--context", "128", "--out", str(tmp_path / "run"))
    assert (other.exit_code, "context = 96, not 128" in other.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "ruler", "--task", "niah_multikey1"], "did you mean 'niah_multikey_1'"),
        (["--data", "ruler", "--task", "qasper"], "use --task transcribe or --task ruler"),
        (["--data", "ruler", "--context", "8 kilo"], "write it as a number of tokens"),
        (["--data", "ruler", "--context", "4"], "512 to 1,048,576 tokens"),
        (["--data", "mini", "--context", "8k"], "--context is for data that are made"),
        (["--data", "ruler-mini", "--font", "x.ttf"], "have a look of their own"),
        (["--data", "ruler", "--needle", "2"], "no needles"),
    ],
)
def test_what_cannot_be_asked_is_one_line_and_writes_nothing(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = freqq("eval", *arguments)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_metric_that_cannot_be_computed_fails_before_the_model_is_loaded(tmp_path):
    record = {
        "input": "?", "context": "Some text.", "answers": ["the third"], "all_classes": None, "_id": "a",
        "dataset": "passage_retrieval_en",
    }  # fmt: skip
    (tmp_path / "a.jsonl").write_text(json.dumps(record))
    done = freqq("eval", "--data", str(tmp_path / "a.jsonl"), "--model", "tiny", "--out", str(tmp_path / "run"))
    assert done.exit_code == 2
    assert "names no paragraph" in done.stderr
    assert not (tmp_path / "run").exists()


def test_the_list_has_all_names_tasks_and_parts():
    shown = freqq("data", "list").stdout
    found = json.loads(freqq("data", "list", "--json").stdout)
    for name in (*(n for n in NAMES if "/" not in n), *TASKS, *TASKS["ruler"].subtasks, *TASKS["longbench"].subtasks):
        assert re.search(rf"\b{re.escape(name)}\b", shown), name
    assert [task["name"] for task in found["tasks"]] == list(TASKS)
    assert set(NAMES) - {"openai/mrcr"} <= {data["name"] for data in found["data"]}


def test_tasks_and_their_parts_complete():
    assert set(TASKS) <= set(task_names())


@pytest.mark.parametrize(("text", "expected"), [("8k", 8192), ("4096", 4096), ("1M", 2**20), (" 96 ", 96)])
def test_lengths_are_written_short(text, expected):
    assert tokens(text) == expected


@pytest.mark.parametrize("text", ["", "k", "8kb", "-1", "1e3", "9" * 20])
def test_what_is_no_length_is_refused(text):
    with pytest.raises(UserError, match="such as 8k"):
        tokens(text)


def test_runs_of_another_length_have_another_folder():
    long = Settings(data="ruler", needles=(0,), task="vt", context=8192).directory()
    assert long.name.startswith("ruler-vt_tiny_")
    assert long != Settings(data="ruler", needles=(0,), task="vt").directory()
