import io

import numpy as np
import pytest
from PIL import Image

from freqq.image.dct import BlockDct
from freqq.pages.page import Page
from freqq.pages.render import render
from freqq.pages.style import Style
from freqq.report.figures import Panel, busiest, compare, log_spectrum, residual, spectrum


@pytest.fixture(scope="module")
def pages() -> tuple[Page, Page]:
    page = next(render(["write a poem about tapirs and one about glass"] * 4, Style(width=200, height=120)))
    codec = BlockDct.at("extreme")
    return page, codec.decode(codec.encode(page))


def draw(kind, before, after):
    if kind == "spectrum":
        return spectrum(before, after, 14, "a page")
    if kind == "residual":
        return residual(before, after, "a page")
    return compare([Panel("before", before), Panel("after", after)], "a page")


@pytest.mark.parametrize("kind", ["spectrum", "residual", "compare"])
def test_figures_are_readable_pngs_and_the_same_each_time(kind, pages):
    first = draw(kind, *pages)
    image = Image.open(io.BytesIO(first))
    assert image.format == "PNG"
    assert min(image.size) >= 300
    assert "Software" not in image.info
    assert draw(kind, *pages) == first
    assert draw(kind, pages[0], pages[0]) != first


@pytest.mark.parametrize("kind", ["spectrum", "residual", "compare"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 90), (50, 2), (9, 9, 3)])
def test_any_size_of_page_can_be_drawn(kind, shape):
    page = Page(np.full(shape, 255, np.uint8))
    assert Image.open(io.BytesIO(draw(kind, page, page))).format == "PNG"


def test_the_spectrum_shows_what_was_removed(pages):
    before, after = (log_spectrum(page, 14) for page in pages)
    assert before.shape == (14, 14)
    assert before[7:, 7:].mean() > after[7:, 7:].mean()
    assert before[0, 0] == pytest.approx(after[0, 0], abs=0.01)


def test_a_blank_page_has_only_a_dc():
    values = log_spectrum(Page(np.full((30, 30), 255, np.uint8)), 8)
    assert values[0, 0] == pytest.approx(np.log10(1 + 8 * 255))
    assert np.abs(values.ravel()[1:]).max() < 1e-9


def test_the_busiest_part_is_where_the_ink_is():
    pixels = np.full((100, 80), 255, np.uint8)
    pixels[60:66, 40:50:2] = 0
    top, left, height, width = busiest(Page(pixels))
    assert top <= 60
    assert top + height >= 66
    assert left <= 40
    assert left + width >= 49
