from math import hypot, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.transforms.bands import band_masks, band_order, radial_frequency

sides = st.integers(1, 40)
edges = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)
STUDY = [(16, 24), (12, 20), (4, 8), (3, 6)]


@pytest.mark.parametrize(("low", "mid"), STUDY)
def test_fractions_give_the_studys_radii_on_its_grid(low, mid):
    masks = band_masks(24, 24, low / (23 * sqrt(2)), mid / (23 * sqrt(2)))
    for i in range(24):
        for j in range(24):
            radius = hypot(i, j)
            assert masks[:, i, j].tolist() == [radius < low, low <= radius < mid, radius >= mid]


@given(sides, sides, edges)
def test_each_coefficient_is_in_exactly_one_band(h, w, edges):
    assert (band_masks(h, w, *edges).sum(0) == 1).all()


@given(sides, sides)
def test_radial_frequency_goes_from_0_at_dc_to_1_in_the_far_corner(h, w):
    fraction = radial_frequency(h, w)
    assert fraction[0, 0] == 0
    assert fraction.max() == fraction[-1, -1] == (1 if h * w > 1 else 0)


def test_a_single_row_has_the_frequencies_of_a_line():
    np.testing.assert_allclose(radial_frequency(1, 5), [[0, 0.25, 0.5, 0.75, 1]])


@given(sides, sides, edges)
def test_the_order_lists_each_coefficient_once_with_the_dc_first(h, w, edges):
    order, counts = band_order(h, w, *edges)
    assert order[0] == 0
    assert sorted(order) == list(range(h * w))
    assert sum(counts) == h * w - 1
    masks = band_masks(h, w, *edges).reshape(3, -1)
    starts = np.cumsum([1, *counts])
    for mask, start, end in zip(masks, starts, starts[1:], strict=False):
        assert mask[order[start:end]].all()
