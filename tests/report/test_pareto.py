from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from freqq.errors import UserError
from freqq.report.pareto import COLOURS, LEAST_CER, Point, front, legibility_points, pareto, score_points

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
    for other in ({"params": '{"keep": 0.3}'}, {"model_revision": "b"}):
        with pytest.raises(UserError, match=f"dct at mild with several {next(iter(other))}"):
            score_points([row, row | other])
    assert len(score_points([row, row | {"level": "extreme", "params": '{"keep": 0.1}'}])) == 2


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


def test_the_front_is_named_only_where_it_is_seen():
    axes, names = drawn([CURVE[0], OTHERS[1]])
    assert names == ["jpeg", "text"]
    axes, names = drawn(CURVE)
    assert names == ["best for its bytes", "jpeg"]
    front, jpeg = axes.lines  # along the same points: only the broader of the two shows beside the other
    assert front.get_linewidth() > 2 * jpeg.get_linewidth()
    assert front.get_zorder() < jpeg.get_zorder()
