from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from freqq.errors import UserError
from freqq.report.figures import rendered
from freqq.report.pareto import COLOURS, LEAST_CER, Point, front, legibility_points, pareto, score_points
from freqq.runs.settings import Settings
from tests.cli.test_app import freqq as command
from tests.report.made_runs import made_rows, write_run

CURVE = [Point("jpeg", level, size, value) for level, size, value in
         (("ultra_mild", 200e3, 0.002), ("mild", 150e3, 0.006), ("extreme", 60e3, 0.1))]  # fmt: skip
OTHERS = [Point("png", "ultra_mild", 96e3, 0.002), Point("text", "ultra_mild", 4e3, 0.0)]


def test_the_front_is_what_nothing_beats():
    assert front([*CURVE, *OTHERS], less=True) == [OTHERS[1]]
    assert front([*CURVE, OTHERS[0]], less=True) == [CURVE[2], OTHERS[0]]
    assert front(CURVE, less=False) == [CURVE[2]]


def test_points_are_means_over_pages():
    rows = [
        {"codec": "jpeg", "level": "mild", "stream_bytes": size, "cer": cer} for size, cer in ((10, 0.1), (30, 0.3))
    ]
    assert legibility_points([*rows, {**rows[0], "cer": None}]) == [Point("jpeg", "mild", 20, pytest.approx(0.2))]


def test_scores_are_those_of_image_methods_and_of_plain_pages():
    row = {"method": "baseline", "level": "baseline", "image_bytes": 300, "pages": 3, "score": 1.0}
    rows = [{**row, "method": name} for name in ("none", "image", "image-webp", "token")]
    rows.append({**row, "error": "OSError: disk", "score": 0.0})
    rows.append({**row, "method": "image-png", "pages": 0})
    assert [(p.codec, p.size) for p in score_points(rows)] == [("baseline", 100), ("dct", 100), ("webp", 100)]


def test_what_differs_is_never_one_point():
    page = {"codec": "jpeg", "level": "mild", "stream_bytes": 9, "cer": 0.1, "params": "{}"}
    with pytest.raises(UserError, match="jpeg at mild with several params"):
        legibility_points([page, page | {"params": '{"quality": 9}'}])
    row = {"method": "image", "level": "mild", "image_bytes": 9, "pages": 1, "score": 1.0, "params": "{}",
           "model_revision": "a"}  # fmt: skip
    for other in ({"params": '{"keep": 0.3}'}, {"model_revision": "b"}, {"config_hash": "of another dpi"}):
        with pytest.raises(UserError, match=f"dct at mild with several {next(iter(other))}"):
            score_points([row, row | other])
    assert len(score_points([row, row | {"level": "extreme", "params": '{"keep": 0.1}'}])) == 2


def test_old_rows_without_bytes_have_no_point():
    row = {"method": "none", "level": "baseline", "image_bytes": None, "pages": 1, "score": 1.0}
    assert score_points([row]) == []
    assert score_points([row, row | {"image_bytes": 9}]) == [Point("baseline", "baseline", 9, 1.0)]


def test_runs_of_other_resolutions_data_or_protocols_are_refused(tmp_path):
    """Also where every arm is in one of them only."""
    rows = made_rows(12, (2,), pages=1)
    plain, image = ([r for r in rows if r.method == method] for method in ("baseline", "image"))
    paths = [write_run(tmp_path / "a", plain, Settings(look="glyph"))]
    paths += [
        write_run(tmp_path / "b", image, Settings(look="glyph", dpi=96)),
        write_run(tmp_path / "c", image, Settings(look="glyph")),
    ]
    out = tmp_path / "pareto.svg"
    for given in ([*paths[:2]], [path / "results.parquet" for path in paths[:2]]):
        done = command("visualize", "pareto", *map(str, given), "--out", str(out))
        assert done.exit_code == 2
        assert f"{paths[0]} and {paths[1]} do not belong in one figure, as dpi is 96" in " ".join(done.stderr.split())
    assert not out.exists()
    done = command("visualize", "pareto", str(paths[0]), str(paths[2] / "results.parquet"), "--out", str(out))
    assert done.exit_code == 0, done.stderr
    assert "dct" in out.read_text()


def drawn(points):
    """The axes of a figure of error rates, and the labels of its legend."""
    figure = pareto(points, [], "some codecs")
    figure.canvas.draw()
    return figure.axes[0], [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_codec_has_a_colour_that_is_told_from_the_others():
    codecs = [f"codec-{i}" for i in range(len(COLOURS))]
    axes, _ = drawn([Point(codec, "mild", 1e3 * (i + 1), 0.1 / (i + 1)) for i, codec in enumerate(codecs)])
    used = [to_rgb(line.get_color()) for line in axes.lines if line.get_label() in codecs]
    assert len(used) == len(codecs)
    assert min(np.abs(np.subtract(a, b)).sum() for a, b in combinations(used, 2)) > 0.25


def test_no_error_at_all_stands_whole_at_a_place_that_says_so():
    axes, _ = drawn([*CURVE, *OTHERS])
    low, high = axes.get_ylim()
    assert low < LEAST_CER / 1.3
    assert high > 0.1 * 1.3
    labels = {at: label.get_text() for at, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)}
    assert [label for at, label in labels.items() if at == pytest.approx(LEAST_CER)] == ["≤ 0.0001"]
    axes, _ = drawn([*CURVE, Point("text", "ultra_mild", 4e3, LEAST_CER)])
    assert "≤ 0.0001" not in [label.get_text() for label in axes.get_yticklabels()]


@pytest.mark.parametrize("name", ["a$^$", "$\\frac$", "5$ and 6$"])
def test_dollar_signs_in_a_name_are_no_formula(name):
    assert name in rendered(pareto([replace(point, codec=name) for point in CURVE], [], "codecs"), "svg").decode()


def test_the_front_is_named_only_where_it_is_seen():
    axes, names = drawn([CURVE[0], OTHERS[1]])
    assert names == ["jpeg", "text"]
    axes, names = drawn(CURVE)
    assert names == ["best for its bytes", "jpeg"]
    front, jpeg = axes.lines  # along the same points: only the broader of the two shows beside the other
    assert front.get_linewidth() > 2 * jpeg.get_linewidth()
    assert front.get_zorder() < jpeg.get_zorder()
