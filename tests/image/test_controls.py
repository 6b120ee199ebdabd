"""The standard codecs, and any stream read by whatever codec wrote it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freqq.coding.stream import FRAME
from freqq.errors import UserError
from freqq.image import CODECS, container, jxl_file
from freqq.image.embedded import FILE_HEADER
from freqq.image.gray import Gray2, Gray4
from freqq.image.measures import psnr
from freqq.image.resize import Resize
from freqq.image.standard import Jpeg, Jxl, Png, Webp
from freqq.image.streams import CODINGS, decode, describe
from freqq.levels import LEVELS
from freqq.pages.page import Page
from freqq.pages.render import render
from freqq.pages.style import Style

FILES = [name for name in CODECS if name not in ("image", "image-dct", "image-quantize", "image-text")]
LOSSLESS = {"png": Png(), "webp": Webp(quality=100), "jxl": Jxl(quality=100), "whole": Resize(scale=1)}
pages = st.builds(
    lambda height, width, planes, seed: Page(
        np.random.default_rng(seed).integers(0, 256, (height, width, *planes), np.uint8)
    ),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([(), (3,)]),
    st.integers(0, 9),
)


@pytest.fixture(scope="module")
def page() -> Page:
    words = "pack my box with five dozen liquor jugs and write a poem about tapirs "
    return next(render([words * 12], Style(width=300, height=200)))


@pytest.mark.parametrize("codec", LOSSLESS.values(), ids=LOSSLESS)
@settings(max_examples=60)
@given(page=pages)
def test_lossless_codecs_lose_nothing_at_any_size(codec, page):
    stream = codec.encode(page)
    np.testing.assert_array_equal(decode(stream).pixels, page.pixels)
    assert stream == codec.encode(page)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=40)
@given(page=pages, level=st.sampled_from(LEVELS[1:]))
def test_every_codec_gives_back_a_page_at_any_size(name, page, level):
    codec = CODECS[name].at(level)
    stream = codec.encode(page)
    decoded = codec.decode(stream)
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.ndim == (2 if isinstance(codec, Gray4) else page.pixels.ndim)
    if not isinstance(codec, Resize):
        assert decoded.pixels.shape[:2] == page.pixels.shape[:2]
    np.testing.assert_array_equal(decode(stream).pixels, decoded.pixels)


@pytest.mark.parametrize("name", FILES)
def test_a_stream_is_its_file_and_20_bytes(name, page):
    stream = CODECS[name].at("mild").encode(page)
    assert describe(stream)["file_bytes"] == len(stream) - 20
    assert FRAME.size + container.HEADER.size + FILE_HEADER.size == 20


@given(page=pages, scale=st.floats(0.01, 1))
def test_a_resized_page_is_really_smaller(page, scale):
    stream = Resize(scale=scale).encode(page)
    height, width = page.pixels.shape[:2]
    expected = (max(1, round(height * scale)), max(1, round(width * scale)))
    assert decode(stream).pixels.shape[:2] == expected
    found = describe(stream)
    assert (found["height"], found["width"]) == (height, width)
    assert (found["file_height"], found["file_width"]) == expected


@given(page=pages, depth=st.integers(1, 7))
@settings(max_examples=40)
def test_few_levels_of_gray_are_the_nearest_ones(page, depth):
    gray = Page(page.pixels if page.pixels.ndim == 2 else page.pixels[..., 0])
    decoded = decode(Gray4(depth=depth).encode(gray)).pixels
    steps = (1 << depth) - 1
    allowed = np.rint(np.arange(steps + 1) * 255 / steps)
    assert set(decoded.ravel()) <= set(allowed)
    assert (np.abs(decoded.astype(float) - gray.pixels) <= 255 / steps / 2 + 0.5).all()


def test_black_and_white_stay_so_with_4_levels_of_gray():
    pixels = np.array([[0, 255], [255, 0]], np.uint8)
    np.testing.assert_array_equal(decode(Gray2().encode(Page(pixels))).pixels, pixels)


@pytest.mark.parametrize("cls", [Jpeg, Webp, Jxl])
def test_more_quality_is_larger_and_nearer(cls, page):
    streams = [cls(quality=quality).encode(page) for quality in (5, 30, 90)]
    assert list(map(len, streams)) == sorted(map(len, streams))
    near = [psnr(page.pixels, decode(stream).pixels) for stream in streams]
    assert near == sorted(near)


def test_a_png_is_never_larger_than_either_way_to_write_it(page):
    noise = np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8)
    ramp = np.add.outer(np.arange(60), np.arange(60)).astype(np.uint8)
    for pixels in (page.pixels, noise, ramp):
        size = describe(Png().encode(Page(pixels)))["file_bytes"]
        from freqq.image.files import png
        from freqq.pages.page import png_bytes

        assert size == min(len(png(Page(pixels))), len(png_bytes(Page(pixels), 9)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Jpeg(quality=0), "quality 0: give 1 to 100"),
        (lambda: Webp(quality=101), "quality 101: give 0 to 100"),
        (lambda: Jxl(quality=-1), "quality -1"),
        (lambda: Jxl(effort=10), "effort 10"),
        (lambda: Resize(scale=0), "scale 0"),
        (lambda: Resize(scale=float("nan")), "scale nan"),
        (lambda: Gray4(depth=8), "depth 8"),
    ],
)
def test_parameters_out_of_range_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_without_the_library_jxl_says_what_to_install(monkeypatch, page):
    stream = Jxl().encode(page)
    monkeypatch.setitem(__import__("sys").modules, "pillow_jxl", None)
    for use in (lambda: Jxl.at("mild"), lambda: decode(stream)):
        with pytest.raises(UserError, match=r"pip install 'freqq\[jxl\]'"):
            use()


@settings(max_examples=60)
@given(height=st.integers(1, 700), width=st.integers(1, 700))
def test_the_size_in_a_jxl_header_is_found(height, width):
    content = jxl_file.encoded(np.zeros((height, width), np.uint8), 50, 1)
    assert jxl_file.size(content) == (height, width)


def test_every_coding_has_a_name_of_its_own():
    assert len({coding.name for coding in CODINGS.values()}) == len(CODINGS)
