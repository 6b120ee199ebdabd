"""Methods beside pages that are drawn smaller, at the same cost."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from freqq.errors import UserError
from freqq.report.figures import rendered
from freqq.report.resolution import as_csv, resolution, resolution_points, unmeasured
from freqq.report.results import read_results
from freqq.report.run_facts import DESCRIBED
from freqq.runs.settings import Settings
from tests.cli.test_app import freqq as command
from tests.conftest import needs_tiny
from tests.report.made_runs import made_rows, write_run

ROOT = Path(__file__).parents[2]
TOKENS = {72.0: 54, 96.0: 96, 144.0: 216}
PLAIN = {72.0: 0.2, 96.0: 0.6, 144.0: 1.0}


def run_at(folder, dpi, method_tokens=None, method_score=0.5, n=40, **settings):
    """Plain pages at a resolution, whose answers all have one score, and a method there if it is asked for."""
    plain = [
        replace(r, score=PLAIN[dpi], vision_tokens=TOKENS[dpi], vision_tokens_full=TOKENS[dpi])
        for r in made_rows(n, (2,))
        if r.method == "baseline"
    ]
    rows = list(plain)
    if method_tokens is not None:
        rows += [
            replace(r, method="token-prune", level="mild", config_hash="p", vision_tokens=method_tokens,
                    score=method_score)
            for r in plain
        ]  # fmt: skip
    return read_results(write_run(folder / f"{dpi:g}", rows, replace(Settings(), look="glyph", dpi=dpi, **settings)))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resolutions")
    return [run_at(folder, 144.0, 96), run_at(folder, 72.0), run_at(folder, 96.0)]


def test_plain_pages_come_first_by_cost_and_a_method_is_beside_the_resolution_of_its_cost(runs):
    points = resolution_points(runs)
    assert [(p.dpi, p.method, p.cost) for p in points] == [
        (72, "baseline", 54), (96, "baseline", 96), (144, "baseline", 216), (144, "token-prune", 96),
    ]  # fmt: skip
    assert points[3].equal_dpi == pytest.approx(96)
    assert points[3].difference.mean == pytest.approx(0.5 - 0.6)
    assert points[3].p_value < 0.001
    assert all(p.difference is None for p in points[:3])


def answering(run, tokens, score):
    """A run whose method cost so many tokens and had such scores."""
    baseline, method = run.arms
    n = len(method.samples)
    values = method.samples.values | {"vision_tokens": np.full(n, float(tokens)), "score": np.broadcast_to(score, n)}
    return replace(run, arms=(baseline, replace(method, samples=replace(method.samples, values=values))))


@given(tokens=st.integers(54, 216), score=st.sampled_from([0.1, 0.5, 0.9]))
def test_between_two_resolutions_the_score_is_interpolated_and_never_outside_of_theirs(runs, tokens, score):
    point = resolution_points([answering(runs[0], tokens, score), *runs[1:]])[-1]
    reference = score - point.difference.mean
    below = max(d for d in TOKENS if TOKENS[d] <= tokens)
    above = min(d for d in TOKENS if TOKENS[d] >= tokens)
    assert PLAIN[below] - 1e-9 <= reference <= PLAIN[above] + 1e-9
    assert below - 1e-9 <= point.equal_dpi <= above + 1e-9


@given(tokens=st.integers(40, 240))
def test_the_resolutions_that_would_have_to_be_measured_are_named(runs, tokens):
    found = resolution_points([answering(runs[0], tokens, 0.5), *runs[1:]])
    near = any(abs(tokens - cost) <= 0.05 * cost for cost in TOKENS.values())
    assert unmeasured(found) == ([] if near or not 54 <= tokens <= 216 else [round(found[-1].equal_dpi)])


@pytest.mark.parametrize("tokens", [20, 51, 228])
def test_what_costs_clearly_less_or_more_than_any_resolution_has_no_difference(tokens, runs):
    point = resolution_points([answering(runs[0], tokens, 0.5), *runs[1:]])[-1]
    assert (point.equal_dpi, point.difference, point.p_value) == (None, None, None)


@pytest.mark.parametrize(("tokens", "dpi"), [(52, 72.0), (226, 144.0)])
def test_what_costs_a_little_less_or_more_is_beside_the_last_resolution(tokens, dpi, runs):
    """A quarter of a page's tokens and the page at half of its resolution differ, as grids have whole cells."""
    point = resolution_points([answering(runs[0], tokens, 0.5), *runs[1:]])[-1]
    assert point.equal_dpi == pytest.approx(dpi)
    assert point.difference.mean == pytest.approx(0.5 - PLAIN[dpi])


def test_differences_are_paired_sample_by_sample(runs):
    """Scores that vary widely, and alike in both, leave no difference and a narrow interval."""
    own = np.random.default_rng(0).random(40)
    plain = answering(replace(runs[2], arms=(runs[2].arms[0], runs[2].arms[0])), 96, own)
    point = resolution_points([answering(runs[0], 96, own), replace(plain, arms=plain.arms[1:]), runs[1]])[-1]
    assert point.difference.mean == pytest.approx(0)
    assert point.p_value == 1
    assert point.difference.high - point.difference.low < point.score.high - point.score.low


def test_samples_that_one_arm_failed_on_are_left_out_of_all(runs):
    [arm] = runs[1].arms
    errors = np.array(["OSError: disk"] * 10 + [None] * 30, object)
    failing = replace(runs[1], arms=(replace(arm, samples=replace(arm.samples, errors=errors)),))
    assert {p.score.n for p in resolution_points([runs[0], failing])} == {30}


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([], "plain pages were read at 1 resolution only"),
        ([{"seed": 3}], "differ in seed"),
        ([{"model": "glyph"}], "differ in model"),
    ],
)
def test_what_cannot_be_compared_is_said(tmp_path, others, said):
    runs = [run_at(tmp_path, 144.0, 96), *(run_at(tmp_path, 96.0, **other) for other in others)]
    with pytest.raises(UserError, match=said):
        resolution_points(runs)


def test_an_arm_of_two_runs_counts_once_and_other_parameters_are_never_one_curve(tmp_path, runs):
    again = [run_at(tmp_path / "a", 144.0, 96, n=20), run_at(tmp_path / "b", 144.0, sizes="none")]
    assert resolution_points([again[0], *runs, again[1]]) == resolution_points(runs)
    set_keep = run_at(tmp_path / "c", 144.0, 96, overrides=(("keep", "0.3"),))
    with pytest.raises(
        UserError, match=f"{runs[0].path} and {set_keep.path} have token-prune at 144 dpi with other param"
    ):
        resolution_points([*runs, set_keep])
    assert len(resolution_points([set_keep, *runs[1:]])) == 4


def test_a_run_from_before_a_setting_existed_had_its_default(runs):
    old = {name: value for name, value in runs[1].description["settings"].items() if name not in ("sizes", "context")}
    old |= {"generation": old.pop("protocol")}
    before = replace(runs[1], description={**runs[1].description, "settings": old})
    assert resolution_points([runs[0], before, runs[2]]) == resolution_points(runs)


def test_no_method_has_the_colour_of_plain_pages(runs):
    *plain, point = resolution_points(runs)
    points = [*plain, *(replace(point, method=f"method-{i}") for i in range(20))]
    axes = resolution(points, "tokens", "Pages").axes[0]
    assert [line.get_label() for line in axes.lines if to_rgb(line.get_color()) == (0, 0, 0)] == ["page drawn smaller"]


@pytest.mark.parametrize("fact", [*DESCRIBED, "task"])
def test_runs_of_other_models_data_or_grading_are_refused_by_name(runs, fact):
    other = replace(runs[1], description={**runs[1].description, fact: "other"})
    other = replace(runs[1], task="other") if fact == "task" else other
    with pytest.raises(UserError, match=f"{runs[0].path} and {runs[1].path} differ in {fact}: "):
        resolution_points([runs[0], other, runs[2]])


@pytest.mark.parametrize("place", [0, 1])
def test_a_cost_that_was_not_measured_is_refused(runs, place):
    """Of plain pages and of methods; a method without any value is of another kind, and is left out."""
    arms = list(runs[0].arms)
    tokens = arms[place].samples.values["vision_tokens"] * np.nan
    if place == 1:
        tokens[0] = 96.0
    values = arms[place].samples.values | {"vision_tokens": tokens}
    arms[place] = replace(arms[place], samples=replace(arms[place].samples, values=values))
    failing = runs[1].arms[0].samples.errors.copy()
    failing[0] = "OSError: disk"
    [plain] = runs[1].arms
    others = [replace(runs[1], arms=(replace(plain, samples=replace(plain.samples, errors=failing)),)), runs[2]]
    arm = ["plain pages", "token-prune mild"][place]
    with pytest.raises(UserError, match=f"no vision_tokens were measured for {arm} at 144 dpi .* give another --cost"):
        resolution_points([replace(runs[0], arms=tuple(arms)), *others])


def test_a_resolution_that_only_a_configuration_tells_is_asked_for(runs):
    settings = {"dpi": None, "config": "glyph.json"}
    untold = [replace(run, description={"settings": run.description["settings"] | settings}) for run in runs]
    with pytest.raises(UserError, match="run it again with --dpi"):
        resolution_points(untold)


def test_an_unknown_cost_is_refused_by_name(runs):
    with pytest.raises(UserError, match="unknown cost 'token'"):
        resolution_points(runs, "token")


def test_bytes_of_images_are_those_of_plain_pages_too(runs):
    points = resolution_points(runs, "image-bytes")
    assert all(p.cost > 5000 for p in points)


def test_the_table_and_the_figure_hold_every_point(runs):
    points = resolution_points(runs)
    rows = list(csv.DictReader(io.StringIO(as_csv(points))))
    assert [(float(r["dpi"]), r["method"], float(r["cost"])) for r in rows] == [
        (p.dpi, p.method, p.cost) for p in points
    ]
    assert [r["difference"] for r in rows] == ["", "", "", "-0.1"]
    svg = rendered(resolution(points, "tokens", "Pages"), "svg").decode()
    assert rendered(resolution(points, "tokens", "Pages"), "svg").decode() == svg
    assert all(f"{dpi} dpi" in svg for dpi in (72, 96, 144))
    assert "token-prune, 144 dpi" in svg


def test_the_command_prints_writes_and_draws_the_same_points(tmp_path, runs):
    out, table = tmp_path / "resolution.svg", tmp_path / "resolution.csv"
    found = command("visualize", "resolution", *(str(run.path) for run in runs), "--out", str(out), "--csv", str(table))
    assert found.exit_code == 0, found.stderr
    assert table.read_text() == as_csv(resolution_points(runs))
    assert "token-prune" in out.read_text()
    [line] = [line for line in found.stdout.splitlines() if "token-prune" in line]
    assert "96 dpi" in line
    assert "-.100" in line.replace("\N{MINUS SIGN}", "-").replace("-0.100", "-.100")


def test_json_holds_the_same_points_and_nothing_else(tmp_path, runs):
    folders = [str(run.path) for run in runs]
    found = command("visualize", "resolution", *folders, "--json", "--out", str(tmp_path / "a.png"))
    assert json.loads(found.stdout) == [point.as_json() for point in resolution_points(runs)]
    assert command("visualize", "resolution", *folders, "--json", "--out", "-").exit_code == 2


def test_a_cost_is_known_before_anything_is_read(tmp_path, runs):
    found = command("visualize", "resolution", str(runs[0].path), "--cost", "token", "--out", str(tmp_path / "a.png"))
    assert (found.exit_code, "did you mean 'tokens'" in found.stderr) == (2, True)


@needs_tiny
@pytest.mark.slow
def test_the_example_evaluates_methods_and_smaller_pages_and_draws_both(tmp_path):
    """examples/resolution.py, of two samples."""
    chosen = ("--task", "niah_multikey_1", "--cost", "tokens", "--dpi", "72", "--dpi", "120", "--start", "120")
    rest = ("--method", "token-prune", "--limit", "2", "--dtype", "float32", "--out", tmp_path / "runs")
    script = ROOT / "examples" / "resolution.py"
    subprocess.run([sys.executable, script, *chosen, *rest, "--results", tmp_path], check=True)
    rows = list(csv.DictReader((tmp_path / "resolution-niah_multikey_1-tokens.csv").open()))
    assert [(row["dpi"], row["method"], row["n"]) for row in rows] == [
        ("72", "baseline", "2"), ("120", "baseline", "2"), *[("120", "token-prune", "2")] * 3,
    ]  # fmt: skip
    assert (tmp_path / "resolution-niah_multikey_1-tokens.png").stat().st_size > 10_000
