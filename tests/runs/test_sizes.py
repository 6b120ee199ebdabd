"""What pages and grids weigh."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from freqq.pages.page import Page
from freqq.runs import sizes
from freqq.tokens.grid import CompressedGrid


def test_ink_is_counted_by_cells():
    pixels = np.full((56, 84), 255, np.uint8)
    assert sizes.inked_cells(Page(pixels)) == (0, 6)
    pixels[27, 27] = 254
    pixels[28:, 56:] = 0
    assert sizes.inked_cells(Page(pixels)) == (2, 6)


def test_cut_cells_count_and_colour_is_ink():
    pixels = np.full((30, 29, 3), 255, np.uint8)
    pixels[29, 28, 1] = 0
    assert sizes.inked_cells(Page(pixels)) == (1, 4)


def test_density_is_over_all_pages():
    blank, full = Page(np.full((28, 28), 255, np.uint8)), Page(np.zeros((28, 84), np.uint8))
    assert sizes.density([blank]) == 0.0
    assert sizes.density([blank, full]) == pytest.approx(3 / 4)


def test_png_bytes_are_those_of_a_file_that_holds_the_page(tmp_path):
    page = Page(np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8))
    file = io.BytesIO()
    Image.fromarray(page.pixels).save(file, "png", optimize=True)
    assert (np.asarray(Image.open(file)) == page.pixels).all()
    assert sizes.png_bytes(page) == len(file.getvalue())


def test_a_stream_counts_if_there_is_one_else_the_features_in_bfloat16():
    grid = torch.zeros(3, 5, 8)
    assert sizes.cells(grid) == 15
    assert sizes.raw_bytes(grid) == 3 * 5 * 8 * 2
    assert sizes.stored_bytes(CompressedGrid(torch.zeros(4, 8), (3, 5), torch.arange(4))) == 4 * 8 * 2
    assert sizes.stored_bytes(CompressedGrid(torch.zeros(15, 8), (3, 5), payload=b"12345")) == 5
