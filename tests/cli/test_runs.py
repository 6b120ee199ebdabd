"""``freqq runs``."""

import json
import shutil

import pytest

from freqq.runs.parts import part_files
from tests.cli.test_app import freqq


@pytest.fixture(scope="module")
def runs(random_model, tmp_path_factory):
    """A folder with a whole run, a half one, one that is to be merged, and other things."""
    folder = tmp_path_factory.mktemp("runs")
    options = ("eval", "--model", random_model, "--limit", "3", "--max-new-tokens", "3", "--level", "mild")
    assert freqq(*options, "--out", str(folder / "whole")).exit_code == 0
    for name, shards in (("half", ("0/2",)), ("unmerged", ("0/2", "1/2"))):
        for shard in shards:
            assert freqq(*options, "--out", str(folder / name), "--shard", shard).exit_code == 0
    (folder / "notes").mkdir()
    return folder


def test_list_says_how_far_each_run_is(runs):
    found = json.loads(freqq("runs", "list", str(runs), "--json").stdout)
    assert [(f["path"].rpartition("/")[2], f["stored"], f["planned"], f["state"]) for f in found] == [
        ("half", 4, 6, "stopped"), ("unmerged", 6, 6, "to be merged"), ("whole", 6, 6, "done"),
    ]  # fmt: skip
    shown = freqq("runs", "list", str(runs)).stdout
    assert "4/6" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "baseline, token" in shown


def test_list_finds_runs_at_any_depth(runs, tmp_path):
    shutil.copytree(runs / "half", tmp_path / "study" / "lowpass")
    assert "study/lowpass" in freqq("runs", "list", str(tmp_path)).stdout.replace("\n", "")


def test_show_is_the_tables_or_how_far_it_is(runs):
    assert "baseline" in freqq("runs", "show", str(runs / "whole")).stdout
    half = freqq("runs", "show", str(runs / "half"))
    assert half.exit_code == 0
    assert "4 of 6 answers, stopped" in half.stdout
    assert json.loads(freqq("runs", "show", str(runs / "half"), "--json").stdout)["stored"] == 4


def test_tables_fit_80_columns_and_cut_no_name_and_no_number(runs, random_model, tmp_path):
    name = "a-run-" + "with-a-long-name-" * 8
    method = "token-stratified+quantize"
    line = (
        "eval",
        "--model",
        random_model,
        "--limit",
        "2",
        "--max-new-tokens",
        "3",
        "--level",
        "ultra_mild,aggressive",
    )
    assert freqq(*line, "--method", method, "--out", str(tmp_path / name)).exit_code == 0
    for command in (("show", str(tmp_path / name)), ("list", str(tmp_path))):
        shown = freqq("runs", *command).stdout
        table = [line for line in shown.splitlines() if "needles, " not in line and str(tmp_path) not in line]
        assert max(map(len, table)) <= 80
        assert "…" not in shown
    assert "6/6" in shown
    board = freqq("leaderboard", str(tmp_path), "--min-samples", "1").stdout
    assert "…" not in board
    assert max(len(line) for line in board.splitlines() if not line.startswith("run ")) <= 80


def test_verify_exits_with_one_if_anything_is_wrong(runs):
    good = freqq("runs", "verify", str(runs / "whole"))
    assert good.exit_code == 0
    assert "ok   6 of 6 planned keys are there" in good.stdout
    bad = freqq("runs", "verify", str(runs / "half"))
    assert bad.exit_code == 1
    assert "BAD  2 answers are missing" in bad.stdout
    assert bad.stderr.startswith("error: 2 of ")
    found = json.loads(freqq("runs", "verify", str(runs / "half"), "--json").stdout)
    assert [f["passed"] for f in found].count(False) == 2


def test_merging_with_a_damaged_part_names_it(runs):
    part = part_files(runs / "unmerged")[0]
    content = part.read_bytes()
    part.write_bytes(content[:-1])
    done = freqq("runs", "merge", str(runs / "unmerged"))
    part.write_bytes(content)
    assert done.exit_code == 1
    assert f"{part} is damaged" in done.stderr
    assert freqq("runs", "merge", str(runs / "unmerged")).exit_code == 0


@pytest.mark.parametrize("command", ["show", "verify", "merge"])
def test_what_is_no_run_is_one_line(command, tmp_path):
    done = freqq("runs", command, str(tmp_path))
    assert done.exit_code == 2
    assert "not a run directory" in done.stderr
    assert done.stderr.count("\n") == 1


DAMAGE = ["3", "[]", "[" * 100_000, '{"samples": [], "arms": []', "\x00", "{}", '{"samples": "s", "arms": []}']
PARTS = {"samples": [[3], [[]]], "arms": [[3], [{}], [{"method": 3, "config_hash": "h"}], [{"method": "token"}]],
         "settings": [3, [], {"methods": 3}, {"overrides": [3]}, {"model": {}}, {"dpi": "x"}]}  # fmt: skip


@pytest.mark.parametrize("damaged", [*DAMAGE, *PARTS])
def test_a_damaged_description_is_one_line_and_hides_no_other_run(damaged, runs, tmp_path):
    for name in ("good", "bad"):
        shutil.copytree(runs / "whole", tmp_path / name)
    file = tmp_path / "bad" / "run.json"
    plan = json.loads(file.read_text())
    for text in [json.dumps(plan | {damaged: value}) for value in PARTS[damaged]] if damaged in PARTS else [damaged]:
        file.write_text(text)
        for command in (("runs", "list"), ("leaderboard", "--min-samples", "1")):
            done = freqq(*command, str(tmp_path))
            assert (done.exit_code, done.stderr.count("\n")) == (0, 1), (text, done.stderr)
            assert done.stderr.startswith(f"note: left out: {file}")
            assert "good" in done.stdout
        for command in (("runs", "show"), ("runs", "verify"), ("runs", "merge"), ("regrade",), ("report",)):
            done = freqq(*command, str(file.parent))
            assert (done.exit_code, done.stderr.count("\n")) == (2, 1), (text, done.stderr)
            assert done.stderr.startswith(f"error: {file}")


def test_a_damaged_run_does_not_hide_the_others(tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text("{")
    (tmp_path / "none" / "slurm").mkdir(parents=True)
    done = freqq("runs", "list", str(tmp_path), "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, [])
    assert done.stderr.startswith(f"note: left out: {tmp_path}/bad/run.json is not readable")
    assert done.stderr.count("\n") == 1


def test_listing_what_is_no_folder_is_one_line(tmp_path):
    assert freqq("runs", "list", str(tmp_path)).exit_code == 0
    done = freqq("runs", "list", str(tmp_path / "none"))
    assert done.exit_code == 2
    assert "no folder" in done.stderr
