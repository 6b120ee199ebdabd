"""Figures of pages, of the data flow, and the files that they are written as."""

import io
from itertools import pairwise

import numpy as np
import pdfplumber
import pytest
from PIL import Image

from freqq.image.dct import BlockDct
from freqq.pages.page import Page
from freqq.pages.render import render
from freqq.pages.style import Style
from freqq.report.figures import FORMATS, Panel, busiest, compare, log_spectrum, rendered, residual, spectrum
from freqq.report.pipeline import pipeline
from freqq.runs.methods import METHODS
from freqq.tokens import COMPRESSORS
from freqq.tokens.prune import Prune


@pytest.fixture(scope="module")
def pages() -> tuple[Page, Page]:
    page = next(render(["write a poem about tapirs and one about glass"] * 4, Style(width=200, height=120)))
    codec = BlockDct.at("extreme")
    return page, codec.decode(codec.encode(page))


def draw(kind, before, after):
    if kind == "spectrum":
        return rendered(spectrum(before, after, 14, "a page"))
    if kind == "residual":
        return rendered(residual(before, after, "a page"))
    return rendered(compare([Panel("before", before), Panel("after", after)], "a page"))


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


@pytest.mark.parametrize("format", FORMATS)
def test_a_figure_is_the_same_file_each_time_and_of_its_format(format, pages):
    first, second = (rendered(compare([Panel("before", pages[0])], "a page"), format) for _ in range(2))
    assert first == second
    if format == "pdf":
        with pdfplumber.open(io.BytesIO(first)) as file:
            assert "before" in file.pages[0].extract_text()
            assert not file.metadata
    else:
        assert first.startswith(b"<?xml" if format == "svg" else b"\x89PNG")


@pytest.mark.parametrize("shape", [(2000, 120), (300, 200)])
def test_titles_do_not_overlap_however_narrow_the_page(shape):
    page = Page(np.full(shape, 255, np.uint8))
    panels = [Panel("ultra_mild, keep 0.95\n177.1 KB, 30.2 dB", page)] * 5
    figure = compare(panels, "a long name of a page " * 8)
    figure.canvas.draw()
    boxes = [axes.title.get_window_extent() for axes in figure.axes[:5]]
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
    title = figure._suptitle.get_window_extent()
    assert title.width <= figure.bbox.width
    assert all(title.y0 >= box.y1 for box in boxes)


def test_the_data_flow_shows_every_method(monkeypatch):
    before = rendered(pipeline())
    image = Image.open(io.BytesIO(before))
    assert image.width > 2 * image.height > 800
    monkeypatch.setitem(COMPRESSORS, "token-mine", Prune)
    assert "token-mine" in METHODS
    assert rendered(pipeline()) != before
