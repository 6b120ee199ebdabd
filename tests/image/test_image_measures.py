import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import Glm4vImageProcessorPil

from freqq.image.base import ImageCodec
from freqq.image.measures import psnr, recode, ssim, vision_tokens
from freqq.pages.page import Page


def image(height, width, seed=0, planes=()):
    return np.random.default_rng(seed).integers(0, 256, (height, width, *planes), np.uint8)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([(), (3,)]))
def test_equal_images_are_perfect(height, width, planes):
    x = image(height, width, 1, planes)
    assert psnr(x, x) == math.inf
    assert ssim(x, x) == pytest.approx(1)


@given(st.integers(1, 40), st.integers(1, 40))
def test_both_are_symmetric(height, width):
    x, y = image(height, width, 1), image(height, width, 2)
    assert psnr(x, y) == pytest.approx(psnr(y, x))
    assert ssim(x, y) == pytest.approx(ssim(y, x))


def test_a_codec_may_turn_gray_into_rgb_and_back():
    """As those of other packages do."""

    class Turning(ImageCodec):
        def encode(self, page):
            return page.pixels.tobytes()

        def decode(self, stream):
            gray = np.frombuffer(stream, np.uint8, 12 * 15).reshape(12, 15)
            return Page(gray if len(stream) > gray.size else np.stack([gray] * 3, 2))

    gray = np.random.default_rng(0).integers(0, 256, (12, 15), np.uint8)
    row = recode(Page(gray), Turning()).row
    assert (row["psnr"], row["ssim"]) == (math.inf, pytest.approx(1))
    assert recode(Page(image(12, 15, planes=(3,))), Turning()).row["psnr"] < 20


def test_psnr_of_a_constant_error():
    x = np.full((9, 9), 100, np.uint8)
    assert psnr(x, x + np.uint8(5)) == pytest.approx(20 * math.log10(255 / 5))
    assert psnr(np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)) == 0


def test_ssim_of_flat_images_compares_brightness_alone():
    x, y = np.full((20, 20), 100, np.uint8), np.full((20, 20), 150, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(x, y) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1))


def test_ssim_is_the_definition_at_one_window():
    x, y = image(11, 11, 3), image(11, 11, 4)
    at = np.arange(11) - 5
    weights = np.exp(-(at[:, None] ** 2 + at[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
    var_x, var_y = (weights * (x - mean_x) ** 2).sum(), (weights * (y - mean_y) ** 2).sum()
    covariance = (weights * (x - mean_x) * (y - mean_y)).sum()
    c1, c2 = 2.55**2, 7.65**2
    expected = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    expected /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    assert ssim(x, y) == pytest.approx(expected)


def test_noise_lowers_both_and_more_noise_more():
    x = np.tile(np.arange(64, dtype=np.uint8) * 3, (64, 1))
    noise = np.random.default_rng(0).normal(size=x.shape)
    noisy = [np.clip(np.rint(x + s * noise), 0, 255).astype(np.uint8) for s in (2, 8, 32)]
    assert psnr(x, noisy[0]) > psnr(x, noisy[1]) > psnr(x, noisy[2])
    assert 1 > ssim(x, noisy[0]) > ssim(x, noisy[1]) > ssim(x, noisy[2]) > 0


@given(st.sampled_from([40, 200, 1000, 8192]).flatmap(lambda most: st.tuples(*[st.integers(1, most)] * 2)))
def test_vision_tokens_are_those_of_the_image_processor(size):
    try:
        expected = Glm4vImageProcessorPil().get_number_of_image_patches(*size) // 4
    except ValueError:
        expected = None
    assert vision_tokens(*size) == expected


def test_a_page_of_glyphs_has_630_tokens():
    assert vision_tokens(842, 595) == 630
