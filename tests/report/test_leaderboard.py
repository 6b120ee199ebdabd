"""Boards of many runs."""

from dataclasses import replace

import pytest

from freqq.errors import UserError
from freqq.report.evidence import gather
from freqq.report.leaderboard import SORTS, boards
from tests.cli.test_app import freqq as command
from tests.report.made_runs import failed, made_rows, write_run

ROWS = made_rows(40, (2, 4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "a", ROWS)
    write_run(folder / "deep" / "b", [r for r in ROWS if r.method == "baseline"])
    worse = [replace(r, method="token-pool", level="extreme", config_hash="pool", score=0.0, token_bytes=4000)
             for r in ROWS if r.method == "baseline"]  # fmt: skip
    write_run(folder / "c", worse)
    write_run(folder / "d", ROWS, model_revision="m2")
    write_run(folder / "small", [r for r in ROWS if int(r.sample_id.split("-")[1]) < 20])
    write_run(folder / "tiny", [r for r in ROWS if int(r.sample_id.split("-")[1]) < 5])
    unfinished = write_run(folder / "e", ROWS[:3])
    (unfinished / "results.parquet").unlink()
    (folder / "notes").mkdir()
    return folder


def test_runs_of_other_data_or_size_stand_apart_under_a_title_of_their_own(folder):
    found, notes = boards(folder)
    assert [(b.run.model_revision, b.needles, b.n) for b in found] == [
        ("m1", 2, 40), ("m1", 2, 20), ("m1", 4, 40), ("m1", 4, 20), ("m2", 2, 40), ("m2", 4, 40),
    ]  # fmt: skip
    assert found[1].title == "mrcr on mini (mini-1), 2 needles, 20 samples: tiny"
    assert sum("tiny at" in note and "5 samples in common, under 10" in note for note in notes) == 2
    assert sum(note.startswith(f"left out: {folder}/e stopped at") for note in notes) == 1
    assert {b.n for b in boards(folder, least=1)[0]} == {40, 20, 5}


def test_no_two_boards_have_the_same_title(folder):
    found = boards(folder)[0]
    assert len({board.title for board in found}) == len(found)
    assert [b.title.rpartition(", ")[2] for b in found if b.n == 40][:1] == ["model_revision m1"]


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


def test_a_method_that_answers_nothing_right_is_last_and_alone(folder):
    last = boards(folder)[0][0].places[-1]
    assert (last.comparison.method, last.tied, last.rank) == ("token-pool", False, 5)


def test_an_arm_of_several_runs_stands_once_with_the_numbers_of_the_fullest(folder, tmp_path):
    (base,) = [p for p in boards(folder)[0][0].places if p.comparison.is_baseline]
    assert sorted(base.runs) == ["a", "b"]
    write_run(tmp_path / "a", [*failed(ROWS[:3]), *ROWS[3:]])
    write_run(tmp_path / "b", ROWS)
    (base,) = [p for p in boards(tmp_path)[0][0].places if p.comparison.is_baseline]
    assert (base.runs, base.comparison.n_failed) == (("b", "a"), 0)


def test_arms_are_ranked_on_the_samples_that_all_runs_share(tmp_path):
    def of(low):
        return [r for r in ROWS if low <= int(r.sample_id.split("-")[1]) < low + 30]

    write_run(tmp_path / "a", of(0))
    write_run(tmp_path / "b", [replace(r, config_hash=f"b{r.config_hash}") for r in of(10)])
    board = boards(tmp_path)[0][0]
    assert (board.n, len(board.places), {p.comparison.n for p in board.places}) == (20, 8, {20})


def test_the_baseline_retains_everything(folder):
    board = boards(folder, "retention")[0][0]
    ranks = {p.comparison.arm: p.rank for p in board.places}
    assert ranks["baseline"] == 1
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


def test_failures_count_as_0_and_an_arm_of_few_answers_is_not_ranked(tmp_path):
    """One that answers only what is easy must not come before one that answers all."""
    base = [replace(r, score=0.8, exact=False) for r in ROWS if r.method == "baseline" and r.needles == 2]
    arms = []
    for answers in (1, 20):
        own = [replace(r, method=f"token-{answers}", level="mild", config_hash=f"h{answers}", score=1.0) for r in base]
        arms += [*own[:answers], *failed(own[answers:])]
    write_run(tmp_path / "run", [*base, *arms])
    ([board], notes) = boards(tmp_path)
    first, second = (place.comparison for place in board.places)
    assert (first.method, second.method, second.n_failed) == ("baseline", "token-20", 20)
    assert (second.score.mean, second.difference.mean, second.retention.mean) == pytest.approx((0.5, -0.3, 0.625))
    assert notes == ["left out: token-1 mild of run at 2 needles: it answered 1 of 40 samples, under 10"]
    shown = command("leaderboard", str(tmp_path))
    assert "2 needles, token-20 mild: 20 of 40 answers failed, and count as 0" in " ".join(shown.stdout.split())


def test_a_board_without_failures_has_the_numbers_of_a_report(folder):
    places = {p.comparison.config_hash: p.comparison for p in boards(folder)[0][0].places}
    for c in gather([folder / "a"]).comparisons:
        if c.needles == 2:
            assert (places[c.config_hash].score, places[c.config_hash].difference) == (c.score, c.difference)
