"""The look of a page, and pages themselves."""

import numpy as np
import pytest

from freqq.errors import UserError
from freqq.pages.page import Line, Page
from freqq.pages.style import Style, font_file


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"height": 100_000},
        {"font_size": 0.0},
        {"line_height": 0},
        {"margin_left": 590},
        {"margin_top": 840},
    ],
)
def test_a_page_that_cannot_hold_text_is_refused(wrong):
    with pytest.raises(UserError):
        Style(**wrong)


def test_overrides_replace_fields_and_unknown_ones_are_named():
    assert Style().with_overrides({"width": 280}) == Style(width=280)
    with pytest.raises(UserError, match="widht"):
        Style().with_overrides({"widht": 280})


def test_a_message_starts_with_its_role():
    assert Style().label("user", "hi") == "User: hi"
    assert Style().label("assistant", "hi") == "Assistant: hi"


def test_fonts_are_found_by_name_or_file_and_others_refused():
    assert font_file(font_file("DejaVuSans")) == font_file("DejaVuSans")
    with pytest.raises(UserError, match="Verdana"):
        font_file("Verdana")


def test_a_page_knows_its_text():
    page = Page(np.zeros((2, 2), np.uint8), (Line(0, 0, "a b"), Line(0, 10, "c")))
    assert page.text == "a b\nc"


def test_digests_tell_pages_apart_by_pixels_and_shape():
    pixels = np.arange(12, dtype=np.uint8)
    digests = {Page(pixels.reshape(shape)).sha256 for shape in [(3, 4), (4, 3), (2, 2, 3)]}
    assert len(digests) == 3
    assert Page(pixels.reshape(3, 4)).sha256 == Page(np.asfortranarray(pixels.reshape(3, 4))).sha256
    assert Page(pixels.reshape(3, 4) + 1).sha256 not in digests
