"""Boards in terminals of any width."""

import io

import pytest
from rich.console import Console

from freqq.report.leaderboard import boards
from freqq.report.leaderboard_tables import show
from tests.report.made_runs import made_rows, write_run

NAMES = (
    "mini-2needle_tiny_token_ultra_mild_n100_s0_1a2b3c4d",
    "mini-2needle_tiny_token-lowpass+image_ultra_mild_n100_s0_9f8e7d6c",
)


def shown(folder, width):
    text = io.StringIO()
    console = Console(file=text, width=width, highlight=False)
    for board in boards(folder)[0]:
        show(board, console)
    return text.getvalue()


@pytest.fixture(scope="module")
def long_names(tmp_path_factory):
    """Two runs as `freqq eval` names them; they differ, so no arm of the second repeats one of the first."""
    folder = tmp_path_factory.mktemp("runs")
    for i, name in enumerate(NAMES):
        write_run(folder / name, made_rows(20, (2,), seed=i))
    return folder


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_names_of_runs_and_arms_are_whole_at_any_width(width, long_names):
    text = shown(long_names, width)
    lines = text.splitlines()
    for name in NAMES:
        assert name in text
        # In columns too narrow for it a name stands once, in a line of its own, with the number that stands for it.
        assert width == 200 or sum(line.endswith(f": {name}") for line in lines) == 1
    for word in ("no compression", "aggressive", "mild", "score", "stored", "tokens"):
        assert word in text
    assert "…" not in text
    assert all(len(line.rstrip()) <= width for line in lines if not line.startswith("run "))


def test_a_number_leads_to_the_name_of_its_run(long_names):
    lines = shown(long_names, 80).splitlines()
    named = {line.split(": ")[0].removeprefix("run "): line.split(": ")[1] for line in lines if line.startswith("run ")}
    expected = [p.runs[0] for p in boards(long_names)[0][0].places]
    rows = [line.split("compression" if "compression" in line else "token" if "token" in line else "image")
            for line in lines if line[:3].strip(" =").isdigit()]  # fmt: skip
    assert [named[after.split()[0]] for _, after in rows] == expected


def test_short_names_stand_in_their_column(tmp_path):
    write_run(tmp_path / "[b]run", made_rows(10, (2,)))
    text = shown(tmp_path, 100)
    assert "[b]run" in text
    assert "run 1:" not in text
    assert "retained" in text
