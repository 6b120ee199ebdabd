"""Comparisons and boards in terminals of any width."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from freqq.report import wording
from freqq.report.evidence import gather, join
from freqq.report.leaderboard import boards
from freqq.report.tables import comparison_tables, result_tables, show_board
from tests.report.made_runs import failed, made_rows, write_run

NAMES = (
    "mini-2needle_tiny_token_ultra_mild_n100_s0_1a2b3c4d",
    "mini-2needle_tiny_token-lowpass+image_ultra_mild_n100_s0_9f8e7d6c",
)
LONG = "token-lowpass+quantize"


def printed(width, show) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    show(console)
    return console.file.getvalue()


def results(path, rows, width) -> str:
    evidence = gather([write_run(path, rows)])
    return printed(width, lambda console: [console.print(table) for table in result_tables(evidence, console.width)])


def compared(paths, width) -> str:
    evidence = join(paths)
    return printed(width, lambda console: [console.print(table) for table in comparison_tables(evidence, width)])


def board(folder, width) -> str:
    return printed(width, lambda console: [show_board(one, console) for one in boards(folder)[0]])


def long_rows(samples, needles=(2,), seed=0):
    rows = made_rows(samples, needles, seed)
    return [replace(r, method=LONG, level="ultra_mild", config_hash="l") if r.method == "image" else r for r in rows]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_table_after_a_run_is_wider_than_its_window_or_cut(width, tmp_path):
    text = results(tmp_path / "run", long_rows(20, (2, 4)), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    words = " ".join(text.split())
    for said in ("MRCR score with 95 % interval", "paired difference to the baseline", "No clear difference: the true"):
        assert said in words


def test_tables_say_what_failed_and_how_responses_ended(tmp_path):
    rows = made_rows(20, (2,))
    rows = [*failed(rows[:3]), *rows[3:60], *(replace(r, truncated=True) for r in rows[60:])]
    text = " ".join(results(tmp_path / "run", rows, 200).split())
    assert "2 needles, baseline: 3 of 20 answers failed" in text
    assert "2 needles, token mild: 3 of 20 answers of baseline failed; the comparison covers the 17 samples" in text
    assert "if failed answers count as 0, the difference is" in text
    assert "cut while thinking: 20 of 20" in text


def test_a_suite_shows_its_parts_and_their_mean(tmp_path, monkeypatch):
    """Rows say which part of a suite they are of in a column that runs have whose task has parts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    run = write_run(tmp_path / "run", made_rows(20, (2,)))
    table = pq.read_table(run / "results.parquet")
    table = table.drop_columns([n for n in ("subtask",) if n in table.column_names])
    names = [("vt", "qa_1")[i % 2] for i in range(len(table))]
    pq.write_table(table.append_column("subtask", pa.array(names)), run / "results.parquet")
    evidence = gather([run])
    [base] = [c for c in evidence.comparisons if c.is_baseline]
    assert [p.name for p in base.subtasks] == ["vt", "qa_1"]
    assert base.suite.mean == pytest.approx(sum(p.score.mean for p in base.subtasks) / 2)
    text = printed(120, lambda console: [console.print(table) for table in result_tables(evidence, console.width)])
    assert "Scores of the suite's parts" in text
    assert "qa_1" in text


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("needles", [(2,), (2, 4, 8)])
def test_a_long_name_of_a_run_takes_no_room_from_the_arms(width, needles, tmp_path):
    text = compared([write_run(tmp_path / NAMES[0], made_rows(20, needles))], width)
    assert "…" not in text
    assert max(len(line) for line in text.splitlines() if not line.startswith("run ")) <= width
    words = {word for line in text.splitlines() for word in line.split()}
    assert {"token", "mild", "aggressive", "(Holm)"} <= words
    assert any(line.split()[:2] == ["1", "2"] for line in text.splitlines())
    assert f"run 1: {NAMES[0]}" in text.replace("\n", " ").replace("  ", " ")
    said = [wording.verdict(c) for c in join([tmp_path / NAMES[0]]).comparisons if c.reference]
    assert {word for text in said for word in text.split()} <= words  # such as the ends of an interval
    short = write_run(tmp_path / "short", made_rows(20, needles))
    assert width < 100 or "run 1:" not in compared([short], width)


@pytest.fixture(scope="module")
def long_names(tmp_path_factory):
    """Two runs as `freqq eval` names them; they differ in size, so each has a board of its own."""
    folder = tmp_path_factory.mktemp("runs")
    for i, name in enumerate(NAMES):
        write_run(folder / name, long_rows(20 + i, seed=i))
    return folder


@pytest.mark.parametrize("width", [80, 100, 200])
def test_names_and_numbers_of_a_board_are_whole_at_any_width(width, long_names):
    text = board(long_names, width)
    lines = text.splitlines()
    for name in NAMES:
        assert name in text
        # In columns too narrow for it a name stands once, in a line of its own, with the number that stands for it.
        assert width == 200 or sum(line.endswith(f": {name}") for line in lines) == 1
    for word in ("baseline", "aggressive", LONG, "score", "stored", "tokens"):
        assert word in text
    assert "…" not in text
    assert all(len(line.rstrip()) <= width for line in lines if not line.startswith("run "))


def test_short_names_stand_in_their_column_and_a_title_says_what_a_board_holds(tmp_path):
    write_run(tmp_path / "[b]run", made_rows(10, (2,)))
    text = board(tmp_path, 120)
    assert "[b]run" in text
    assert "run 1:" not in text
    assert "mrcr on mini (mini-1), 2 needles, 10 samples: tiny" in text
