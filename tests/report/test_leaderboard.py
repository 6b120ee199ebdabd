"""Boards of many runs."""

from dataclasses import replace

import pytest

from freqq.errors import UserError
from freqq.report.leaderboard import SORTS, boards
from tests.report.made_runs import made_rows, write_run

ROWS = made_rows(40, (2, 4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "a", ROWS)
    write_run(folder / "deep" / "b", [r for r in ROWS if r.method == "none"])
    worse = [replace(r, method="token-pool", level="extreme", config_hash="pool", score=0.0, token_bytes=4000)
             for r in ROWS if r.method == "none"]  # fmt: skip
    write_run(folder / "c", worse)
    write_run(folder / "d", ROWS, model_revision="m2")
    unmerged = write_run(folder / "e", ROWS[:3])
    (unmerged / "results.parquet").unlink()
    (folder / "notes").mkdir()
    return folder


def test_there_is_a_board_for_each_context_and_needle_count(folder):
    found, notes = boards(folder)
    assert [(b.run.model_revision, b.needles) for b in found] == [("m1", 2), ("m1", 4), ("m2", 2), ("m2", 4)]
    assert len(notes) == 1
    assert "e is left out" in notes[0]


@pytest.mark.parametrize("sort", ["score", "macro", "exact"])
def test_the_best_come_first_and_ranks_never_fall(sort, folder):
    for board in boards(folder, sort)[0]:
        values = [getattr(p.comparison, sort) for p in board.places]
        values = values if sort == "exact" else [v.mean for v in values]
        assert values == sorted(values, reverse=True)
        ranks = [p.rank for p in board.places]
        assert ranks[0] == 1
        assert ranks == sorted(ranks)
        assert all(rank <= i + 1 for i, rank in enumerate(ranks))


@pytest.mark.parametrize(("sort", "rate"), [("token-bytes", "token_bytes"), ("image-bytes", "image_bytes")])
def test_rates_are_sorted_from_the_lowest(sort, rate, folder):
    for board in boards(folder, sort)[0]:
        rates = [p.comparison.rates[rate] for p in board.places]
        assert rates == sorted(rates)


def test_ties_are_what_the_interval_of_reaches_the_first(folder):
    for board in boards(folder)[0]:
        for place in board.places:
            leader = next(p for p in board.places if p.rank == place.rank).comparison.score
            own = place.comparison.score
            assert own.high >= leader.mean or leader.low <= own.mean
            assert place.tied == (sum(p.rank == place.rank for p in board.places) > 1)


def test_a_method_that_answers_nothing_is_last_and_alone(folder):
    board = boards(folder)[0][0]
    last = board.places[-1]
    assert (last.comparison.method, last.tied, last.rank) == ("token-pool", False, len(board.places))


def test_the_same_answers_of_several_runs_stand_once(folder):
    board = boards(folder)[0][0]
    (plain,) = [p for p in board.places if p.comparison.is_plain]
    assert sorted(plain.runs) == ["a", "b"]


def test_the_plain_arm_retains_everything(folder):
    board = next(b for b in boards(folder, "retention")[0])
    ranks = {p.comparison.arm: p.rank for p in board.places}
    assert ranks["no compression"] == 1
    assert ranks["token-pool extreme"] == max(ranks.values())


@pytest.mark.parametrize("sort", SORTS)
def test_every_order_ranks_every_arm(sort, folder):
    assert {len(b.places) for b in boards(folder, sort)[0]} == {4, 5}


def test_a_folder_without_results_says_so(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        boards(tmp_path / "none")
    with pytest.raises(UserError, match="freqq eval"):
        boards(tmp_path)
    with pytest.raises(UserError, match="did you mean 'score'"):
        boards(tmp_path, "scor")
