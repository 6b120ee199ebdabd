import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.errors import UserError
from freqq.image import CODECS
from freqq.image.dct import BlockDct, DctQuantize, largest
from freqq.image.measures import psnr
from freqq.levels import LEVELS
from freqq.pages.page import Page
from freqq.pages.render import render
from freqq.pages.style import Style
from freqq.transforms.blocks import block_dct

sizes = st.integers(1, 45)
blocks = st.integers(2, 20)
keeps = st.floats(0.001, 1)


@pytest.fixture(scope="module")
def page() -> Page:
    words = "pack my box with five dozen liquor jugs and write a poem about tapirs "
    return next(render([words * 12], Style(width=300, height=200)))


def noise(height, width, seed=0, planes=0):
    shape = (height, width, planes) if planes else (height, width)
    return Page(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def round_trip(codec, page):
    return codec.decode(codec.encode(page)).pixels


@pytest.mark.parametrize("cls", CODECS.values())
def test_every_codec_has_every_level_but_the_baseline(cls):
    assert tuple(cls.LEVELS) == LEVELS[1:]


def test_levels_keep_the_studys_fractions():
    assert [BlockDct.at(level).keep for level in LEVELS[1:]] == [0.8, 0.5, 0.2, 0.05]
    assert BlockDct.at("mild") == BlockDct(keep=0.5, block=14)


@given(sizes, sizes, blocks, st.integers(0, 100), st.sampled_from([0, 3]))
def test_keeping_all_is_lossless_up_to_rounding(height, width, block, seed, planes):
    page = noise(height, width, seed, planes)
    restored = round_trip(BlockDct(keep=1, block=block), page)
    assert restored.dtype == np.uint8
    assert restored.shape == page.pixels.shape
    # Rounded coefficients are off by a uniform error of variance 1/12, and so are the pixels.
    difference = restored.astype(int) - page.pixels
    assert np.abs(difference).max() <= 2
    assert (difference**2).mean() < 0.5 or page.pixels.size < 50


@given(sizes, sizes, blocks, keeps, st.integers(0, 255))
def test_a_flat_page_stays_flat(height, width, block, keep, value):
    page = Page(np.full((height, width), value, np.uint8))
    restored = round_trip(BlockDct(keep=keep, block=block), page)
    np.testing.assert_array_equal(restored, page.pixels)


@given(st.integers(1, 3), st.integers(1, 4), blocks, keeps, st.integers(0, 100))
def test_exactly_the_largest_are_kept_and_every_dc(rows, columns, block, keep, seed):
    # Few distinct values, so that there are ties.
    values = np.random.default_rng(seed).integers(-3, 4, (rows, block, columns, block)).astype(np.float32)
    values = values.transpose(0, 2, 1, 3)
    mask = largest(values, keep)
    assert mask[..., 0, 0].all()
    others = mask.copy()
    others[..., 0, 0] = False
    dropped = np.abs(values[~mask])
    wanted = round(keep * values.size)
    assert wanted - rows * columns <= others.sum() <= wanted
    if others.any() and dropped.size:
        assert np.abs(values[others]).min() >= dropped.max()


def test_the_mean_of_each_block_survives_the_smallest_fraction():
    page = noise(28, 42)
    restored = round_trip(BlockDct(keep=1e-6), page)
    means = page.pixels.reshape(2, 14, 3, 14).mean((1, 3))
    np.testing.assert_allclose(restored.reshape(2, 14, 3, 14).mean((1, 3)), means, atol=1)


def test_pixels_are_rounded_and_clipped(page):
    restored = round_trip(BlockDct(keep=0.1), page)
    assert (restored.min(), restored.max()) == (0, 255)  # ringing would leave the range on both sides
    noisy = noise(70, 70)
    bias = round_trip(BlockDct(keep=1), noisy).astype(float).mean() - noisy.pixels.mean()
    assert abs(bias) < 0.1  # truncation would make it -0.5


@pytest.mark.parametrize("block", [8, 14, 16])
def test_each_level_is_farther_from_the_page_and_smaller(page, block):
    streams = [BlockDct.at(level, block=block).encode(page) for level in LEVELS[1:]]
    quality = [psnr(page.pixels, BlockDct().decode(stream).pixels) for stream in streams]
    assert quality == sorted(quality, reverse=True)
    assert [len(s) for s in streams] == sorted(map(len, streams), reverse=True)
    assert quality[-1] < 30 < 40 < quality[0]


def test_rgb_planes_are_ranked_together():
    gray = noise(30, 20)
    colour = Page(np.stack([gray.pixels, np.full_like(gray.pixels, 128), gray.pixels], axis=2))
    # Two thirds hold all of the two noisy planes; the flat one needs its DCs alone.
    restored = round_trip(BlockDct(keep=0.68, block=10), colour)
    np.testing.assert_array_equal(restored[..., 0], restored[..., 2])
    np.testing.assert_array_equal(restored[..., 0], round_trip(BlockDct(keep=1, block=10), gray))


def test_the_same_page_gives_the_same_stream(page):
    codec = BlockDct.at("mild")
    copy = Page(np.asfortranarray(page.pixels))
    assert codec.encode(page) == codec.encode(copy)


def test_padding_does_not_change_whole_blocks():
    pixels = noise(30, 33).pixels
    # In float32 a product may round otherwise in a matrix of another size.
    np.testing.assert_allclose(block_dct(pixels, 14)[:2, :2], block_dct(pixels[:28, :28], 14), atol=1e-3)


@pytest.mark.parametrize("keep", [0, -0.1, 1.01, float("nan"), float("inf")])
def test_keep_out_of_range_is_refused(keep):
    with pytest.raises(UserError, match="over 0 and at most 1"):
        BlockDct(keep=keep)


@pytest.mark.parametrize("block", [-1, 0, 1, 129])
def test_block_out_of_range_is_refused(block):
    with pytest.raises(UserError, match="give 2 to 128 pixels"):
        BlockDct(block=block)


@given(sizes, sizes, blocks, st.floats(1, 200), st.floats(0, 15), st.floats(0, 1), st.sampled_from([0, 3]))
def test_quantization_errs_by_no_more_than_its_steps(height, width, block, step, weight, dead_zone, planes):
    page = noise(height, width, 0, planes)
    codec = DctQuantize(step, weight, dead_zone, block)
    restored = round_trip(codec, page)
    assert restored.shape == page.pixels.shape
    # A coefficient is off by at most (1 + dead zone) / 2 steps, and a block's error has the energy of its coefficients.
    largest_step = (step + 1 / 16) * (1 + weight + 1 / 32) + 1 / 16
    worst = np.sqrt(-(-height // block) * block * -(-width // block) * block * max(planes, 1)) * largest_step
    error = np.sqrt(((restored.astype(float) - page.pixels) ** 2).sum())
    assert error <= worst * (1 + dead_zone) / 2 + np.sqrt(page.pixels.size)


def test_a_step_of_one_is_thresholding_that_keeps_all(page):
    fine = DctQuantize(step=1, weight=0, dead_zone=0)
    np.testing.assert_array_equal(round_trip(fine, page), round_trip(BlockDct(keep=1), page))


def test_each_level_of_quantization_is_farther_from_the_page_and_smaller(page):
    streams = [DctQuantize.at(level).encode(page) for level in LEVELS[1:]]
    quality = [psnr(page.pixels, BlockDct().decode(stream).pixels) for stream in streams]
    assert quality == sorted(quality, reverse=True)
    assert [len(s) for s in streams] == sorted(map(len, streams), reverse=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("step", 0.9), ("step", 9000), ("step", float("nan")), ("weight", -1), ("weight", 16), ("dead_zone", 1.1)],
)
def test_quantizers_out_of_range_are_refused(name, value):
    with pytest.raises(UserError, match=name):
        DctQuantize(**{name: value})
