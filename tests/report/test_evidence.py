"""From run directories to comparisons: which runs belong together, what is read, what is said first."""

import json
import random
import re
import shlex
from dataclasses import replace
from itertools import permutations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from freqq.cli.slurm_submit import parse_eval
from freqq.errors import FreqqError, UserError
from freqq.report.evidence import compare_results, gather, join, pairs
from freqq.report.formats import summary
from freqq.report.results import read_results
from freqq.report.run_facts import find_contexts
from freqq.report.wording import MARGIN
from freqq.runs.settings import Settings
from tests.report.made_runs import failed, fallen, made_rows, write_run
from tests.report.test_pairs import of

ROWS = made_rows(30, (2, 4))


def those(method, rows=ROWS):
    return [r for r in rows if r.method in method]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("made") / "run", ROWS)


@pytest.fixture(scope="module")
def evidence(run):
    return gather([run])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    kinds = {"base": ["baseline"], "tokens": ["token"], "images": ["baseline", "image"]}
    return [write_run(folder / name, those(methods)) for name, methods in kinds.items()]


def test_holm_covers_all_comparisons(evidence):
    tested = [c for c in evidence.comparisons if c.p_value is not None]
    assert len(tested) == 9
    smallest = min(tested, key=lambda c: c.p_value)
    assert smallest.p_holm == pytest.approx(min(1, 9 * smallest.p_value))


def test_the_order_of_rows_changes_nothing(evidence, tmp_path):
    plan = json.loads((evidence.runs[0].path / "run.json").read_text())
    again = gather([write_run(tmp_path / "run", random.Random(2).sample(ROWS, len(ROWS)), arms=plan["arms"])])
    assert again.comparisons == evidence.comparisons


def test_the_order_of_runs_changes_nothing_but_the_order(tmp_path):
    runs = [write_run(tmp_path / name, made_rows(20, (2,), seed=i)) for i, name in enumerate("abc")]
    one, other = gather(runs), gather(runs[::-1])
    assert sorted(map(repr, one.comparisons)) == sorted(map(repr, other.comparisons))


def test_the_summary_has_the_same_numbers_without_those_over_all_needles(evidence):
    groups = summary(evidence)["groups"]
    assert [(g["needles"], g["method"]) for g in groups] == [
        (c.needles, c.method) for c in evidence.comparisons if c.needles is not None
    ]
    json.dumps(groups, allow_nan=False)
    for group in groups:
        found = of(evidence, group["method"], group["level"], group["needles"])
        assert group["score"] == found.score.as_json()
        assert group["difference"] == (None if found.difference is None else found.difference.as_json())
        assert list(group["bins"]) == [b.name for b in found.bins]
        assert group["sparse"]["n"] + group["dense"]["n"] == group["n"]


def test_a_run_without_a_baseline_is_paired_with_one_that_has_it(evidence, runs):
    found = gather(runs[:2])
    assert "tokens has no baseline: it is paired with that of base, on 60 of its 60 samples" in found.warnings
    mine, whole = of(found, "token", "aggressive"), of(evidence, "token", "aggressive")
    assert (mine.run, mine.reference_run) == ("tokens", "base")
    assert (mine.difference, mine.retention, mine.p_value) == (whole.difference, whole.retention, whole.p_value)


def test_runs_are_paired_with_their_own_baseline_or_with_the_first_that_has_one(tmp_path):
    rows = made_rows(6)
    kinds = (("a", ["token"]), ("b", ["baseline", "token", "image"]), ("c", ["baseline"]))
    a, b, c = (write_run(tmp_path / n, those(methods, rows)) for n, methods in kinds)
    results = [read_results(path) for path in (a, b, c)]
    assert pairs(results) == compare_results(results).pairs == ((a, b), (b, b), (c, c))
    assert pairs(results[:1]) == ()


def numbered(low, high, rows=ROWS):
    """The rows of samples with these numbers."""
    return [r for r in rows if low <= int(r.sample_id.rsplit("-", 1)[1]) < high]


def test_a_run_without_a_baseline_is_paired_with_the_one_that_has_most_of_its_samples(tmp_path):
    few = write_run(tmp_path / "few", numbered(0, 12))
    most = write_run(tmp_path / "most", numbered(10, 30, those(["baseline"])))
    lacking = write_run(tmp_path / "lacking", numbered(10, 30, those(["token"])))
    for order in permutations((few, most, lacking)):
        found = gather(order)
        assert (lacking, most) in found.pairs
        assert "lacking has no baseline: it is paired with that of most, on 40 of its 40 samples" in found.warnings


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
def test_what_differs_is_named_and_never_paired(description, named, runs, tmp_path):
    found = gather([runs[0], write_run(tmp_path / "methods", those(["token", "image"]), **description)])
    assert f"methods is shown apart from base: {named}" in found.warnings
    assert "methods has no baseline, nor has another run with its settings: nothing is paired" in found.warnings
    assert all(c.difference is None for c in found.comparisons)
    assert {r.label: r.context for r in found.runs} == {"base": 0, "methods": 1}


def test_other_pages_under_the_same_settings_are_found_out(tmp_path):
    rows = [replace(r, page_hash="other") if r.sample_id == "2needle-3" else r for r in ROWS]
    runs = [write_run(tmp_path / "a", ROWS), write_run(tmp_path / "b", rows)]
    said = "b is shown apart from a: 1 of the samples that both have were rendered to other pages"
    assert said in gather(runs).warnings


def test_no_two_runs_of_a_context_have_other_pages_of_a_sample(tmp_path):
    """Also where the context's first run has none of their samples."""
    drawn_again = [replace(r, page_hash=f"other {r.page_hash}") for r in ROWS]
    parts = {"a": numbered(0, 10), "b": numbered(10, 30), "c": numbered(10, 30, drawn_again), "d": numbered(5, 15)}
    results = [read_results(write_run(tmp_path / name, those(["baseline"], rows))) for name, rows in parts.items()]
    for order in permutations(results):
        contexts, warnings = find_contexts(order, [r.path.name for r in order])
        found = {run.path.name: context for run, context in zip(order, contexts, strict=True)}
        assert found["c"] not in (found["b"], found["d"])
        assert len(warnings) == max(contexts)
    found = gather([tmp_path / name for name in "abc"])
    assert found.warnings == ("c is shown apart from b: 40 of the samples that both have were rendered to other pages",)


def test_facts_are_enough_to_repeat_a_run(tmp_path):
    settings = Settings(needles=(2, 4), levels=("mild",), limit=30, seed=3, overrides=(("keep", "0.3"),))
    (facts,) = gather([write_run(tmp_path / "a b", ROWS, settings)]).runs
    assert facts.command == (
        f"freqq eval --method token --needle 2 --needle 4 --level mild --limit 30 --seed 3 --set keep=0.3 "
        f"--out '{tmp_path}/a b'"
    )
    options = parse_eval(shlex.split(facts.command)[2:])
    assert (options.settings(), options.folder()) == (settings, tmp_path / "a b")
    assert (facts.n_samples, facts.n_rows, facts.n_failed) == (60, 240, 0)
    assert facts.versions[0]["torch"] == "2.13.0"
    assert facts.hardware == ({"device": "cpu"},)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(
            revision="abc", dtype="float32", bins=("0-8k",), levels=("mild", "extreme"), baseline=False,
            protocol="glyph", attention="eager", quantization="nf4",
        ),
        Settings(skip_bad=True, limit=7, seed=2),
        Settings(data="mini", task="transcribe", limit=7, backend="openai", served_model="a model"),
    ],
)  # fmt: skip
def test_the_command_of_a_run_asks_for_its_settings(settings, tmp_path):
    (facts,) = gather([write_run(tmp_path / "run", ROWS, settings)]).runs
    options = parse_eval(shlex.split(facts.command)[2:])
    assert (options.settings(), options.folder()) == (settings, tmp_path / "run")


def test_labels_tell_runs_apart(tmp_path):
    runs = [write_run(tmp_path / name / "run", made_rows(2, (2,))) for name in ("a", "b")]
    assert [r.label for r in gather(runs).runs] == ["a/run", "b/run"]
    assert [r.label for r in gather(runs[:1]).runs] == ["run"]


def test_what_was_given_in_place_of_a_run_is_told_with_what_to_give(run, tmp_path):
    text = tmp_path / "t.txt"
    text.write_text("no run")
    for paths, message in [
        ([], "give at least one run directory"),
        ([run, run.parent / "run"], f"{run.parent}/run is given 2 times: give each run once"),
        ([text], f"{text} is a file, not a run directory: give the folder with run.json in it"),
        ([run / "results.parquet"], f"{run}/results.parquet is a file, not a run directory: give {run}"),
        (
            [run.parent],
            f"{run.parent} is not a run directory, but a folder of them: give the runs in it, as {run.parent}/*",
        ),
        ([run, tmp_path / "none"], f"there is no run directory {tmp_path}/none: give the --out of a freqq eval"),
    ]:
        with pytest.raises(UserError) as caught:
            gather(paths)
        assert str(caught.value) == message


def test_a_folder_that_is_no_run_is_left_out_with_a_note(run, evidence, tmp_path):
    (tmp_path / "slurm-only" / "slurm").mkdir(parents=True)
    found = gather([tmp_path / "slurm-only", run])
    assert found.comparisons == evidence.comparisons
    [note] = found.warnings
    assert note == f"left out: {tmp_path}/slurm-only is not a run directory: it has no run.json"


@pytest.mark.parametrize("stored", [0.5, 1.0])
def test_an_unfinished_run_says_the_command_that_goes_on(stored, run, tmp_path):
    from freqq.runs.parts import PARTS, parquet
    from freqq.runs.schema import to_table

    path = write_run(tmp_path / "run", ROWS)
    (path / "results.parquet").unlink()
    (path / PARTS / "part.parquet").write_bytes(parquet(to_table(ROWS[: int(stored * len(ROWS))]), {}))
    with pytest.raises(UserError) as caught:
        gather([path])
    if stored == 1:
        assert str(caught.value).endswith(f"run freqq runs merge {path}")
    else:
        assert "stopped at 120 of 240 answers: continue with freqq eval --method token" in str(caught.value)
        assert str(caught.value).endswith(f"--out {path}")
    assert gather([path, run]).warnings[0].startswith(f"left out: {path} ")


def headline_of(path, rows):
    return gather([write_run(path, rows)]).headline


def test_the_headline_names_the_lowest_rate_without_a_loss(tmp_path):
    rows = [replace(r, vision_tokens=60) if r.method == "token" else r for r in fallen(100, *[0.0] * 100)]
    assert headline_of(tmp_path / "run", rows) == (
        "No loss of more than 5 points at 40 % of the tokens in the sequence and 40 % of the "
        "bytes of stored tokens (token mild, no answer of 100 changed). 0 of 1 comparison got worse than the baseline."
    )
    alone = gather([write_run(tmp_path / "alone", those(["token"]))])
    assert alone.headline.startswith("Nothing is compared")


def test_the_headline_never_takes_few_samples_for_a_proof(tmp_path):
    all_fell = np.random.default_rng(8).uniform(0.4, 0.9, 8)
    assert headline_of(tmp_path / "8", fallen(8, *all_fell)).startswith("Nothing gets smaller without a loss. 1 of 1")
    five = headline_of(tmp_path / "5", fallen(5, *all_fell[:5]))
    assert re.fullmatch(
        r"5 samples are too few to say whether a smaller size loses less than 5 points: with 5 samples, only effects "
        r"of \d+ points or more are likely to be detected \(80 % power\)\. 0 of 1 comparison got worse.*", five
    )  # fmt: skip
    assert headline_of(tmp_path / "same", fallen(40, *[0.0] * 40)).startswith("40 samples are too few to say")
    assert headline_of(tmp_path / "one", fallen(1, 0.5)).startswith("1 sample is too few")


@pytest.mark.parametrize("n", [10, 40, 80, 150])
def test_a_size_without_a_loss_excludes_the_margin(n, tmp_path):
    losses = np.zeros(n)
    losses[:4] = [0.2, -0.1, 0.3, 0.0] if n < 150 else [1.0, 1.0, 1.0, 0.9]
    found = gather([write_run(tmp_path / "run", fallen(n, *losses))])
    change = of(found).difference
    assert found.headline.startswith("No loss") == (change.low >= -MARGIN and change.high >= 0)


def test_a_size_at_which_answers_fail_is_not_without_a_loss(tmp_path):
    rows = fallen(200, *[0.0] * 200)
    assert headline_of(tmp_path / "one", [*rows[:-1], *failed(rows[-1:])]).startswith(
        "No loss of more than 5 points at"
    )
    assert headline_of(tmp_path / "some", [*rows[:-60], *failed(rows[-60:])]).startswith(
        "No loss of more than 5 points is seen where both answered, but 60 of 200 answers of token mild failed. 0 of 1"
    )


def test_runs_that_failed_are_not_counted(tmp_path):
    good, bad = fallen(100, *[0.0] * 100), failed(fallen(100, *[0.0] * 100))
    nothing = "Nothing is compared: no sample was answered by both a method and its baseline."
    assert headline_of(tmp_path / "bad", bad) == nothing
    both = gather([tmp_path / "bad", write_run(tmp_path / "good", good)])
    assert both.headline.endswith(
        "got worse than the baseline; 1 more is not counted, as no sample was answered by both."
    )
    base, arm = fallen(100, *[0.0] * 100)[:100], fallen(100, *[0.0] * 100)[100:]
    halves = [*failed(base[:50]), *base[50:], *arm[:50], *failed(arm[50:])]
    assert headline_of(tmp_path / "halves", halves) == nothing


def test_without_a_smaller_size_the_headline_says_so(tmp_path):
    rows = [replace(r, token_bytes=r.token_bytes_raw) for r in fallen(60, *[0.0] * 60)]
    assert headline_of(tmp_path / "run", rows).startswith("No method makes anything smaller. 0 of 1 comparison")


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
        ("score", float("nan"), "not numbers"),
        ("score", None, "not numbers"),
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
    found = of(gather([run]), "image")
    assert found.difference == of(evidence, "image").difference
    assert (found.rates["image_bytes"], found.costs["kv_prompt_bytes"]) == (None, None)
    pq.write_table(table.drop_columns(["score"]), run / "results.parquet")
    with pytest.raises(FreqqError, match="lacks the columns score"):
        gather([run])
    (run / "results.parquet").write_bytes(b"PAR1 and nothing more PAR1")
    with pytest.raises(FreqqError, match="damaged"):
        gather([run])


def key(c):
    return c.method, c.level, c.needles


def test_arms_of_other_runs_are_compared_as_within_one(runs, evidence):
    whole = {key(c): c for c in evidence.comparisons if not c.is_baseline}
    found = {key(c): c for c in join(runs[:2]).comparisons}
    assert set(found) == {k for k in whole if k[0] == "token"}
    for k, c in found.items():
        assert (c.difference, c.p_value, c.wins) == (whole[k].difference, whole[k].p_value, whole[k].wins)
        assert (c.run, c.reference_run, c.reference) == ("tokens", "base", "baseline")


def test_an_arm_that_two_runs_have_is_compared_between_them(runs, tmp_path):
    again = [c for c in join(runs).comparisons if c.run == "images" and c.is_baseline]
    assert [c.needles for c in again] == [2, 4, None]
    assert all((c.reference_run, c.difference.mean, c.p_value, c.losses) == ("base", 0, 1, 0) for c in again)
    later = [replace(r, score=max(0.0, r.score - 0.1)) if r.method == "token" else r for r in ROWS]
    found = join([*runs[:2], write_run(tmp_path / "later", those(["token"], later))]).comparisons
    between = {(c.run, c.reference_run, c.reference) for c in found if c.reference_run != "base"}
    assert between == {("later", "tokens", "token mild"), ("later", "tokens", "token aggressive")}


@pytest.mark.parametrize(
    ("reference", "run_name", "name"),
    [
        (None, "base", "baseline"),
        ("baseline", "base", "baseline"),
        ("images", "images", "baseline"),
        ("tokens:token/mild", "tokens", "token mild"),
    ],
)
def test_any_arm_can_be_the_reference(reference, run_name, name, runs):
    found = join(runs, reference)
    first = found.comparisons[0]
    assert (first.reference_run, first.reference) == (run_name, name)
    assert f"with {name} of {run_name} got worse" in found.headline
    assert not any((c.run, c.arm) == (run_name, name) for c in found.comparisons)


def test_a_run_that_is_called_baseline_is_not_the_first_runs_baseline(run, tmp_path):
    found = join([run, write_run(tmp_path / "baseline", ROWS)], "baseline")
    assert found.comparisons[0].reference_run == "run"
    assert join([run, tmp_path / "baseline"], "baseline:baseline").comparisons[0].reference_run == "baseline"


@pytest.mark.parametrize("reference", [None, "token/mild"])
def test_the_headline_counts_the_comparisons_with_the_reference_that_it_names_and_no_others(reference, run, tmp_path):
    found = join([run, write_run(tmp_path / "again", ROWS)], reference)
    named = {None: "baseline", "token/mild": "token mild"}[reference]
    own = [c for c in found.comparisons if (c.reference_run, c.reference) == ("run", named)]
    assert f" of {len(own)} comparisons with {named} of run got worse" in found.headline
    assert {c.reference for c in found.comparisons} > {named}


def test_without_a_baseline_the_first_arm_is_the_reference_and_an_unknown_one_is_named(runs):
    assert {c.reference for c in join(runs[1:2]).comparisons} == {"token mild"}
    with pytest.raises(UserError, match="did you mean 'tokens:token/mild'"):
        join(runs, "tokens:token/mld")


def test_swapping_the_sides_turns_the_difference_round(runs):
    one = {c.needles: c for c in join(runs, "tokens:token/mild").comparisons if c.method == "image"}
    swapped = join(runs, "images:image/mild").comparisons
    other = {c.needles: c for c in swapped if (c.method, c.level) == ("token", "mild")}
    for needles in (2, 4, None):
        a, b = one[needles], other[needles]
        assert (a.difference.low, a.difference.high) == pytest.approx((-b.difference.high, -b.difference.low))
        assert (a.p_value, a.wins, a.ties, a.losses) == (b.p_value, b.losses, b.ties, b.wins)


def test_what_is_not_shared_is_said(runs, tmp_path):
    some = write_run(tmp_path / "some", random.Random(0).sample([r for r in those(["baseline"]) if r.needles == 2], 20))
    half = write_run(tmp_path / "half", [r for r in those(["token"]) if r.needles == 2])
    assert join([runs[0], half]).warnings == ()
    shared = join([some, half])
    assert shared.warnings == ("some has 20 of the 30 samples of half",)
    assert all(c.n_shared < c.n == 30 for c in shared.comparisons)


def test_runs_that_differ_are_compared_among_themselves(runs, tmp_path):
    other = write_run(tmp_path / "other", those(["baseline", "token"]), data_revision="mini-2")
    found = join([*runs[:2], other])
    assert "other is shown apart from base: data_revision is mini-2, not mini-1" in found.warnings
    for c in found.comparisons:
        assert (c.run == "other") == (c.reference_run == "other") == (c.context == 1)
    lone = write_run(tmp_path / "lone", those(["token"]), model_revision="m2")
    assert "lone has no baseline to be compared with: its arms stand alone" in join([runs[0], lone]).warnings
