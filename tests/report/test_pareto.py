import io

import numpy as np
import pytest
from PIL import Image

from freqq.report.pareto import Point, front, legibility_points, pareto, score_points

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
    row = {"method": "none", "level": "baseline", "image_bytes": 300, "pages": 3, "score": 1.0}
    rows = [{**row, "method": name} for name in ("none", "image", "image-webp", "token")]
    rows.append({**row, "method": "image-png", "pages": 0})
    assert [(p.codec, p.size) for p in score_points(rows)] == [("none", 100), ("dct", 100), ("webp", 100)]


@pytest.mark.parametrize("panels", [(CURVE + OTHERS, []), ([], CURVE), (CURVE, CURVE + OTHERS)])
def test_a_figure_is_a_readable_png_and_the_same_each_time(panels):
    first = pareto(*panels, "some codecs")
    image = Image.open(io.BytesIO(first))
    assert image.format == "PNG"
    assert min(image.size) >= 500
    assert len(np.unique(np.asarray(image.convert("L")))) > 50
    assert pareto(*panels, "some codecs") == first
