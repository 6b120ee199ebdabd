"""What runs show: from run directories to comparisons."""

import json
import random
import re
import shlex
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from freqq.cli.slurm_submit import parse_eval
from freqq.errors import FreqqError, UserError
from freqq.report.evidence import gather
from freqq.report.headline import ENOUGH, MARGIN
from freqq.report.join import join
from freqq.report.statistics import mean_estimate, paired_difference
from freqq.report.summary import summarise
from freqq.runs.settings import Settings
from tests.report.made_runs import BINS, made_rows, write_run
from tests.runs.test_schema import make_row

ROWS = made_rows(30, (2, 4))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("made") / "run", ROWS)


@pytest.fixture(scope="module")
def evidence(run):
    return gather([run])


def of(evidence, method, level, needles=2):
    (found,) = [c for c in evidence.comparisons if (c.method, c.level, c.needles) == (method, level, needles)]
    return found


def close(a, b):
    assert (a.mean, a.low, a.high) == pytest.approx((b.mean, b.low, b.high), nan_ok=True)
    assert a.n == b.n


def scores_of(method, level, needles=(2, 4)):
    return [r.score for r in ROWS if (r.method, r.level) == (method, level) and r.needles in needles]


def test_every_arm_stands_once_for_each_needle_count_and_for_all(evidence):
    assert [(c.needles, c.method, c.level) for c in evidence.comparisons] == [
        (needles, method, level)
        for needles in (2, 4, None)
        for method, level in [("none", "baseline"), ("token", "mild"), ("token", "aggressive"), ("image", "mild")]
    ]


def test_numbers_are_those_of_the_rows(evidence):
    for needles, counts in ((2, (2,)), (4, (4,)), (None, (2, 4))):
        found = of(evidence, "token", "aggressive", needles)
        own, plain = scores_of("token", "aggressive", counts), scores_of("none", "baseline", counts)
        close(found.score, mean_estimate(own))
        close(found.baseline, mean_estimate(plain))
        close(found.difference, paired_difference(own, plain))
        assert found.retention.mean == pytest.approx(np.mean(own) / np.mean(plain))
        assert found.wins == sum(a > b for a, b in zip(own, plain, strict=True))
        assert found.losses == sum(a < b for a, b in zip(own, plain, strict=True))
        assert found.wins + found.ties + found.losses == found.n == found.n_paired == len(own)
        assert found.exact == pytest.approx(np.mean([s == 1 for s in own]))
        assert found.difference_exact == pytest.approx(found.exact - found.baseline_exact)


def test_rates_stay_apart(evidence):
    assert of(evidence, "token", "mild").rates == pytest.approx({"image_bytes": 1, "token_bytes": 0.6, "tokens": 1})
    assert of(evidence, "image", "mild").rates == pytest.approx({"image_bytes": 3, "token_bytes": 1, "tokens": 1})


def test_bins_make_up_the_macro_average(evidence):
    found = of(evidence, "image", "mild")
    assert [b.bin for b in found.bins] == list(BINS)
    assert sum(b.n for b in found.bins) == found.n
    assert found.macro.mean == pytest.approx(np.mean([b.score.mean for b in found.bins]))
    assert found.macro_difference.mean == pytest.approx(np.mean([b.difference.mean for b in found.bins]))


def test_the_plain_arm_is_not_compared_with_itself(evidence):
    plain = of(evidence, "none", "baseline")
    assert (plain.is_plain, plain.difference, plain.p_value, plain.p_holm) == (True, None, None, None)
    assert plain.words == "no compression"


def test_holm_covers_all_comparisons(evidence):
    tested = [c for c in evidence.comparisons if c.p_value is not None]
    assert len(tested) == 9
    smallest = min(tested, key=lambda c: c.p_value)
    assert smallest.p_holm == pytest.approx(min(1, 9 * smallest.p_value))


def test_eval_and_report_say_the_same(evidence):
    """The summary of a run, which `freqq eval` prints, and its evidence agree to the last digits."""
    groups = summarise(random.Random(1).sample(ROWS, len(ROWS)))["groups"]
    for group in groups:
        found = of(evidence, group["method"], group["level"], group["needles"])
        for name in ("score", "difference", "macro", "macro_difference"):
            ours = getattr(found, name)
            if ours is None:
                assert group.get(name) is None
            else:
                assert group[name] == pytest.approx(ours.as_json())
        if not found.is_plain:
            assert group["p_value"] == pytest.approx(found.p_value)
            assert [group[n] for n in ("wins", "ties", "losses")] == [found.wins, found.ties, found.losses]
            for bin in found.bins:
                assert group["bins"][bin.bin]["difference"] == pytest.approx(bin.difference.as_json())
        for name in ("image_bytes", "prefill_ms", "kv_bytes"):
            assert group[name] == pytest.approx(found.costs[name])


def test_the_order_of_rows_changes_nothing(evidence, tmp_path):
    plan = json.loads((evidence.runs[0].path / "run.json").read_text())
    shuffled = random.Random(2).sample(ROWS, len(ROWS))
    again = gather([write_run(tmp_path / "run", shuffled, arms=plan["arms"])])
    assert again.comparisons == evidence.comparisons


def test_the_order_of_runs_changes_nothing_but_the_order(tmp_path):
    runs = [write_run(tmp_path / name, made_rows(20, (2,), seed=i)) for i, name in enumerate("abc")]
    one, other = gather(runs), gather(runs[::-1])
    assert sorted(map(repr, one.comparisons)) == sorted(map(repr, other.comparisons))


def test_an_arm_like_the_plain_one_differs_by_nothing(tmp_path):
    rows = [r for r in ROWS if r.method == "none"]
    rows += [replace(r, method="token", level="ultra_mild", config_hash="u") for r in rows]
    (found,) = [c for c in gather([write_run(tmp_path / "run", rows)]).comparisons if c.needles == 2 and not c.is_plain]
    assert (found.difference.mean, found.difference.low, found.difference.high) == (0, 0, 0)
    assert (found.p_value, found.wins, found.losses, found.ties) == (1.0, 0, 0, 30)
    assert (found.retention.low, found.retention.high, found.detectable) == (1.0, 1.0, None)
    assert found.words.startswith("no score of 30 changes")


def test_failures_count_as_zero_and_cost_nothing(tmp_path):
    rows = [r for r in ROWS if r.needles == 2]
    broken = [
        make_row(**{n: getattr(r, n) for n in ("sample_id", "needles", "bin", "method", "level", "config_hash")},
                 error="OSError: disk") if r.method == "image" and i % 2 else r
        for i, r in enumerate(rows)
    ]  # fmt: skip
    found = of(gather([write_run(tmp_path / "run", broken)]), "image", "mild")
    failed = sum(r.error is not None for r in broken)
    assert (found.n, found.n_paired, found.n_failed) == (30, 30, failed)
    assert found.score.mean == pytest.approx(sum(r.score for r in broken if r.method == "image") / 30)
    assert found.rates["image_bytes"] == pytest.approx(3)


def test_a_baseline_of_nothing_has_no_retention(tmp_path):
    rows = [replace(r, score=0.0) if r.method == "none" else r for r in ROWS]
    found = of(gather([write_run(tmp_path / "run", rows)]), "token", "mild")
    assert found.retention is None
    assert found.difference.mean == found.score.mean


def test_one_sample_leaves_intervals_open(tmp_path):
    found = of(gather([write_run(tmp_path / "run", made_rows(1, (2,)))]), "token", "mild")
    assert np.isnan(found.difference.low)
    assert found.p_value == 1.0
    assert found.words == "too few samples to say"


def split(tmp_path, **description):
    """Two runs of the same samples: one of the plain arm alone, one of the methods alone."""
    return [
        write_run(tmp_path / "plain", [r for r in ROWS if r.method == "none"]),
        write_run(tmp_path / "methods", [r for r in ROWS if r.method != "none"], **description),
    ]


def test_a_run_without_the_plain_arm_is_paired_with_one_that_has_it(evidence, tmp_path):
    found = gather(split(tmp_path))
    assert "methods has no plain arm: it is paired with that of plain, on 60 of its 60 samples" in found.warnings
    mine, whole = of(found, "token", "aggressive"), of(evidence, "token", "aggressive")
    assert (mine.run, mine.plain_run) == ("methods", "plain")
    close(mine.difference, whole.difference)
    close(mine.retention, whole.retention)
    assert (mine.p_value, mine.wins, mine.losses) == (whole.p_value, whole.wins, whole.losses)


@pytest.mark.parametrize(
    ("description", "named"),
    [
        ({"data_revision": "mini-2"}, "data_revision is mini-2, not mini-1"),
        ({"model_revision": "m2"}, "model_revision is m2, not m1"),
        ({"dtype": "bfloat16"}, "dtype is bfloat16, not float32"),
        ({"settings": Settings(protocol="glyph")}, "protocol is glyph, not official"),
        ({"settings": Settings(max_new_tokens=9)}, "max_new_tokens is 9, not unset"),
        ({"settings": Settings(quantization="nf4")}, "quantization is nf4, not unset"),
        ({"settings": Settings(backend="openai")}, "backend is openai, not local"),
        ({"attention": "eager"}, "attention is eager, not unset"),
    ],
)
def test_what_differs_is_named_and_never_paired(description, named, tmp_path):
    found = gather(split(tmp_path, **description))
    assert f"methods is shown apart from plain: {named}" in found.warnings
    assert "methods has no plain arm, nor has another run with its settings: nothing is paired" in found.warnings
    assert all(c.difference is None for c in found.comparisons)
    assert {r.label: r.context for r in found.runs} == {"plain": 0, "methods": 1}


def test_other_pages_under_the_same_settings_are_found_out(tmp_path):
    rows = [replace(r, page_hash="other") if r.sample_id == "2needle-3" else r for r in ROWS]
    runs = [write_run(tmp_path / "a", ROWS), write_run(tmp_path / "b", rows)]
    assert (
        "b is shown apart from a: 1 of the samples that both have were rendered to other pages" in gather(runs).warnings
    )


def test_a_run_of_other_samples_has_nothing_to_be_paired_with(tmp_path):
    other = [replace(r, sample_id=f"other-{r.sample_id}") for r in ROWS if r.method != "none"]
    found = gather([write_run(tmp_path / "a", ROWS), write_run(tmp_path / "b", other)])
    assert "b has no plain arm: it is paired with that of a, on 0 of its 60 samples" in found.warnings
    assert all(c.difference is None for c in found.comparisons if c.run == "b")


def test_facts_are_enough_to_repeat_a_run(tmp_path):
    settings = Settings(
        needles=(2, 4), levels=("mild",), limit=30, seed=3, overrides=(("keep", "0.3"),), max_new_tokens=8
    )
    (facts,) = gather([write_run(tmp_path / "a b", ROWS, settings)]).runs
    assert facts.command == (
        "freqq eval --method token --needle 2 --needle 4 --level mild --limit 30 --seed 3 --max-new-tokens 8 "
        f"--set keep=0.3 --out '{tmp_path}/a b'"
    )
    assert (facts.n_samples, facts.n_rows, facts.n_failed) == (60, 240, 0)
    assert facts.versions[0]["torch"] == "2.13.0"
    assert facts.hardware == ({"device": "cpu"},)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(
            revision="abc",
            dtype="float32",
            bins=("0-8k",),
            levels=("mild", "extreme"),
            baseline=False,
            protocol="glyph",
            attention="eager",
            quantization="nf4",
        ),
        Settings(skip_bad=True, limit=7, seed=2),
        Settings(data="mini", task="transcribe", limit=7, backend="openai", served_model="a model"),
    ],
)
def test_the_command_of_a_run_asks_for_its_settings(settings, tmp_path):
    (facts,) = gather([write_run(tmp_path / "run", ROWS, settings)]).runs
    assert parse_eval(shlex.split(facts.command)[2:])[:2] == (settings, tmp_path / "run")


def test_labels_tell_runs_apart(tmp_path):
    runs = [write_run(tmp_path / name / "run", made_rows(2, (2,))) for name in ("a", "b")]
    assert [r.label for r in gather(runs).runs] == ["a/run", "b/run"]
    assert [r.label for r in gather(runs[:1]).runs] == ["run"]


def test_what_is_no_run_is_an_error_that_says_so(run, tmp_path):
    with pytest.raises(UserError, match="at least one"):
        gather([])
    with pytest.raises(UserError, match="given 2 times"):
        gather([run, run.parent / "run"])
    with pytest.raises(UserError, match="not a run directory"):
        gather([tmp_path])
    unmerged = write_run(tmp_path / "unmerged", ROWS[:4])
    (unmerged / "results.parquet").unlink()
    with pytest.raises(UserError, match="freqq runs merge"):
        gather([unmerged])
    (unmerged / "results.parquet").write_bytes(b"PAR1 and nothing more PAR1")
    with pytest.raises(FreqqError, match="damaged"):
        gather([unmerged])


def fallen(n, *losses):
    """Rows of a plain arm with all answers right, and of one that stores .4 of the bytes and loses so much on each."""
    plain = [r for r in made_rows(n, (2,)) if r.method == "none"]
    plain = [replace(r, score=1.0, exact=True) for r in plain]
    return plain + [
        replace(r, method="token", level="mild", config_hash="m", token_bytes=30720, score=1 - loss, exact=not loss)
        for r, loss in zip(plain, losses, strict=True)
    ]


def failed(rows):
    return [replace(r, score=0.0, exact=False, error="OSError: disk", response=None) for r in rows]


@pytest.mark.parametrize("n", [6, 8, 12, 60])
def test_words_verdict_and_p_value_never_contradict_each_other(n, tmp_path):
    """All samples fell: the exact test is sure, however far caution widens the interval."""
    losses = np.random.default_rng(n).uniform(0.2, 0.9, n)
    found = of(gather([write_run(tmp_path / "run", fallen(n, *losses))]), "token", "mild")
    assert found.p_holm == pytest.approx(2.0 ** (1 - n))
    assert found.verdict == "loses"
    assert found.words.startswith("loses")
    if found.difference.high >= 0:
        assert f"lower on {n} of {n} samples" in found.words
        assert "how much is not known well" in found.words


def test_five_of_five_could_still_be_chance(tmp_path):
    found = of(gather([write_run(tmp_path / "run", fallen(5, 0.5, 0.6, 0.7, 0.8, 0.9))]), "token", "mild")
    assert found.p_holm == pytest.approx(1 / 16)
    assert found.verdict == "unclear"
    assert found.words.startswith("no difference shown")


def test_0_beside_0_of_failed_answers_is_no_comparison(tmp_path):
    rows = fallen(8, *[0.0] * 8)
    for name, own in {
        "both": failed(rows),
        "arm": rows[:8] + failed(rows[8:]),
        "plain": failed(rows[:8]) + rows[8:],
    }.items():
        found = of(gather([write_run(tmp_path / name, own)]), "token", "mild")
        assert (found.unanswered, found.verdict, found.words) == (True, None, "all answers failed")
        assert found.plain_failed == (0 if name == "arm" else 8)
    assert summarise(failed(rows))["groups"][1]["words"] == "all answers failed"


def test_what_was_given_in_place_of_a_run_is_told_with_what_to_give(run, tmp_path):
    text = tmp_path / "t.txt"
    text.write_text("no run")
    for path, message in [
        (text, f"{text} is a file, not a run directory: give the folder with run.json in it"),
        (run / "results.parquet", f"{run}/results.parquet is a file, not a run directory: give {run}"),
        (
            run.parent,
            f"{run.parent} is not a run directory, but a folder of them: give the runs in it, as {run.parent}/*",
        ),
        (tmp_path / "none", f"there is no run directory {tmp_path}/none: give the --out of a freqq eval"),
        (text / "below", f"there is no run directory {text}/below: give the --out of a freqq eval"),
    ]:
        with pytest.raises(UserError) as caught:
            gather([path])
        assert str(caught.value) == message


def test_the_headline_names_the_lowest_rate_without_a_loss(evidence, tmp_path):
    assert evidence.headline.endswith("of 9 comparisons lose.")
    rows = [r for r in ROWS if r.method == "none"]
    rows += [replace(r, method="token", level="mild", config_hash="m", token_bytes=30720) for r in rows]
    assert gather([write_run(tmp_path / "run", rows)]).headline == (
        "No loss is shown, and one of more than 5 points is excluded, at 40 % of the bytes of stored tokens "
        "(token mild, no score of 60 changed); 0 of 3 comparisons lose."
    )
    alone = gather([write_run(tmp_path / "alone", [r for r in ROWS if r.method != "none"])])
    assert alone.headline.startswith("Nothing is compared")


def headline_of(path, rows):
    return gather([write_run(path, rows)]).headline


def test_the_headline_never_takes_few_samples_for_a_proof(tmp_path):
    """Eight samples that all fell lose; five that fell, and any number below 59, prove nothing."""
    all_fell = np.random.default_rng(8).uniform(0.4, 0.9, 8)
    assert headline_of(tmp_path / "8", fallen(8, *all_fell)) == (
        "Nothing is smaller without a loss; 1 of 1 comparisons lose."
    )
    five = headline_of(tmp_path / "5", fallen(5, *all_fell[:5]))
    assert re.fullmatch(
        r"5 samples are too few to say whether a smaller size loses less than 5 points \(four of five such runs would "
        r"show a difference of \d+\.\d points\); 0 of 1 comparisons lose\.", five
    )  # fmt: skip
    same = headline_of(tmp_path / "same", fallen(58, *[0.0] * 58))
    assert same.startswith("58 samples are too few to say whether a smaller size loses less than 5 points; 0 of 1")
    assert headline_of(tmp_path / "one", fallen(1, 0.5)).startswith("1 sample is too few")
    assert headline_of(tmp_path / "59", fallen(59, *[0.0] * 59)).startswith("No loss is shown, and one of more than 5")


@pytest.mark.parametrize("n", [10, 40, 80, 150])
def test_a_size_without_a_loss_excludes_the_margin(n, tmp_path):
    losses = np.zeros(n)
    losses[:4] = [0.2, -0.1, 0.3, 0.0] if n < 150 else [1.0, 1.0, 1.0, 0.9]
    rows = fallen(n, *losses)
    found = of(gather([write_run(tmp_path / "run", rows)]), "token", "mild")
    claimed = headline_of(tmp_path / "again", rows).startswith("No loss is shown")
    assert claimed == (n >= ENOUGH and found.difference.low >= -MARGIN and found.difference.high >= 0)


def test_an_arm_that_is_the_lowest_of_two_rates_is_named_once(tmp_path):
    rows = [replace(r, vision_tokens=60) if r.method == "token" else r for r in fallen(60, *[0.0] * 60)]
    assert headline_of(tmp_path / "run", rows) == (
        "No loss is shown, and one of more than 5 points is excluded, at 40 % of the tokens in the sequence and 40 % "
        "of the bytes of stored tokens (token mild, no score of 60 changed); 0 of 1 comparisons lose."
    )


def test_runs_that_failed_do_not_count_as_without_a_loss(tmp_path):
    good, bad = fallen(60, *[0.0] * 60), failed(fallen(60, *[0.0] * 60))
    assert headline_of(tmp_path / "bad", bad).startswith("Nothing is compared: wherever a method stands beside")
    both = gather([tmp_path / "bad", write_run(tmp_path / "good", good)])
    assert both.headline.endswith("0 of 1 comparisons lose, and 1 more is not counted, as all answers failed.")
    joined = join([tmp_path / "bad"])
    assert joined.headline.endswith(
        "0 of 0 comparisons lose, 0 gain, and 0 show no difference, and 1 more is not counted, as all answers failed."
    )


def test_without_a_smaller_size_the_headline_says_so(tmp_path):
    rows = [replace(r, token_bytes=r.token_bytes_raw) for r in fallen(60, *[0.0] * 60)]
    assert headline_of(tmp_path / "run", rows) == "No method makes anything smaller; 0 of 1 comparisons lose."


def spoil(run, column, value):
    table = pq.read_table(run / "results.parquet")
    values = table[column].to_pylist()
    values[1] = value if value != "first" else values[0]
    at = table.column_names.index(column)
    field = pa.field(column, table.schema.field(column).type)
    pq.write_table(table.set_column(at, field, pa.array(values, field.type)), run / "results.parquet")


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("score", float("nan"), "no numbers"),
        ("score", None, "no numbers"),
        ("score", float("inf"), "no numbers"),
        ("bin", None, "bin is missing"),
        ("sample_id", "first", "more than once"),
    ],
)
def test_rows_that_no_run_leaves_are_refused(column, value, reason, tmp_path):
    run = write_run(tmp_path / "run", ROWS)
    spoil(run, column, value)
    with pytest.raises(FreqqError, match=reason):
        gather([run])


@pytest.mark.parametrize("change", [{"arms": [{}]}, {"arms": [3]}, {"settings": "none"}])
def test_a_description_that_no_run_leaves_is_refused(change, tmp_path):
    run = write_run(tmp_path / "run", ROWS[:4])
    plan = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(plan | change))
    with pytest.raises(FreqqError, match="damaged"):
        gather([run])


def test_a_run_of_an_older_version_lacks_what_was_not_measured_then(evidence, tmp_path):
    run = write_run(tmp_path / "run", ROWS)
    table = pq.read_table(run / "results.parquet")
    pq.write_table(table.drop_columns(["page_hash", "kv_bytes", "image_bytes"]), run / "results.parquet")
    found = of(gather([run]), "image", "mild")
    assert found.difference == of(evidence, "image", "mild").difference
    assert (found.rates["image_bytes"], found.costs["kv_bytes"]) == (None, None)
    pq.write_table(table.drop_columns(["score"]), run / "results.parquet")
    with pytest.raises(FreqqError, match="lacks the columns score"):
        gather([run])
