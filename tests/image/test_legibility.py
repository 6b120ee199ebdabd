"""Reading pages back with tesseract."""

import numpy as np
import pytest

from freqq.errors import UserError
from freqq.image.legibility import check_tesseract, legibility, ocr
from freqq.image.resize import Resize
from freqq.pages.glyph import GlyphConfig
from freqq.pages.glyph_pages import render_glyph
from freqq.pages.page import Page

TEXT = "The quick brown fox jumps over the lazy dog while seven wizards quietly mix the potions. " * 6


@pytest.fixture(scope="module")
def page() -> Page:
    return next(render_glyph(TEXT, GlyphConfig(page_size=(300.0, 150.0))))


@pytest.mark.needs("ocr")
def test_a_page_is_read_and_a_blank_one_is_not(page):
    height, width = page.pixels.shape
    marks = legibility(page, page.text, height, width)
    assert marks.cer < 0.02
    assert marks.score > 0.95
    blank = legibility(Page(np.full_like(page.pixels, 255)), page.text, height, width)
    assert (blank.score, blank.cer) == (0, 1)


@pytest.mark.needs("ocr")
def test_less_resolution_is_less_legible_whatever_size_it_is_read_at(page):
    height, width = page.pixels.shape
    codec = Resize(scale=0.4)
    small = codec.decode(codec.encode(page))
    assert legibility(small, page.text, height, width).cer > 0.1


@pytest.mark.parametrize("program", [None, "#!/bin/sh\necho deu\n"])
def test_what_is_missing_is_said(program, page, tmp_path, monkeypatch):
    if program:
        (tmp_path / "tesseract").write_text(program)
        (tmp_path / "tesseract").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="tesseract-ocr-eng"):
        check_tesseract()
    with pytest.raises(UserError, match="tesseract-ocr-eng"):
        ocr(page, *page.pixels.shape)
