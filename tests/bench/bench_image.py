"""The image method on a full page of text, encoding and decoding apart."""

import numpy as np
import pytest

from freqq.image.dct import BlockDct
from freqq.pages.page import Page
from freqq.pages.render import render
from freqq.pages.style import Style

CODEC = BlockDct.at("mild")


@pytest.fixture(scope="module")
def page() -> Page:
    """A page of Glyph's size, filled with text that does not repeat."""
    letters = np.random.default_rng(0).choice(list("etaoinshrdlu  "), 6000)
    return next(render(["".join(letters)], Style()))


def test_encode(benchmark, page):
    stream = benchmark(CODEC.encode, page)
    benchmark.extra_info.update(stream_bytes=len(stream), pixels=page.pixels.size)
    assert CODEC.decode(stream).pixels.shape == page.pixels.shape


def test_decode(benchmark, page):
    decoded = benchmark(CODEC.decode, CODEC.encode(page))
    assert np.abs(decoded.pixels.astype(float) - page.pixels).mean() < 8
