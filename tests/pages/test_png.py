"""PNG files of pages."""

import io
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from freqq.errors import UserError
from freqq.pages.page import Page, png_bytes
from freqq.pages.render import render
from freqq.pages.style import Style

SHAPES = st.one_of(
    st.tuples(st.integers(1, 30), st.integers(1, 30)), st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))
)


@given(SHAPES.flatmap(lambda shape: arrays(np.uint8, shape)), st.integers(0, 9))
def test_any_reader_gets_the_page_back(pixels, level):
    image = Image.open(io.BytesIO(png_bytes(Page(pixels), level)))
    image.verify()  # checks the chunks' checksums
    read = np.asarray(Image.open(io.BytesIO(png_bytes(Page(pixels), level))))
    assert read.dtype == np.uint8
    assert np.array_equal(read, pixels)


def test_a_page_that_is_a_view_is_written_as_it_looks():
    pixels = np.arange(600, dtype=np.uint16).astype(np.uint8).reshape(20, 30)[::2, ::-3]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png_bytes(Page(pixels))))), pixels)


def test_a_page_of_text_is_smaller_than_filters_make_it():
    choices = Random(0).choices
    words = ["".join(choices("etaoinshrdlucmfwypvb", k=k)) for k in choices(range(2, 10), k=1500)]
    page = next(render([" ".join(words)], Style()))
    pillow = io.BytesIO()
    Image.fromarray(page.pixels).save(pillow, "png", compress_level=1)
    assert len(png_bytes(page)) < pillow.tell()
    assert len(png_bytes(page, 9)) <= len(png_bytes(page, 1))
    assert png_bytes(page) == png_bytes(page)


@pytest.mark.parametrize("level", [-1, 10])
def test_a_level_that_zlib_does_not_have_is_refused(level):
    with pytest.raises(UserError, match="0 to 9"):
        png_bytes(Page(np.zeros((2, 2), np.uint8)), level)
