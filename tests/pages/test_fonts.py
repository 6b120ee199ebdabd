"""Fonts of every kind that FreeType reads; where reportlab reads them too, pages look the same."""

from itertools import count
from os.path import isfile
from pathlib import Path

import numpy as np
import pytest
from fontTools import subset
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.ttLib import TTCollection, TTFont, newTable
from fontTools.ttLib.tables._f_v_a_r import Axis
from fontTools.ttLib.tables.TupleVariation import TupleVariation
from reportlab.pdfbase.ttfonts import TTFError

from freqq.errors import UserError
from freqq.pages.fonts import font_digest, has_cff_outlines, lacking, open_font
from freqq.pages.glyph import GlyphConfig
from freqq.pages.glyph_pages import render_glyph
from freqq.pages.page import Page
from freqq.pages.style import font_file, font_index
from tests.pages.glyph_way import set_pdf
from tests.pages.test_glyph_pages import chat, same_pixels

SMALL = GlyphConfig(page_size=(400.0, 200.0))


NUMBERS = count(1)


def few_letters(name: str) -> TTFont:
    """A shipped font with the letters of ASCII alone, without instructions or features.

    Each has a name of its own: reportlab takes two fonts of one name in one process for the same face.
    """
    font, own = TTFont(font_file(name)), f"FewLetters{next(NUMBERS)}"
    for record in font["name"].names:
        if record.nameID in (1, 3, 4, 6):
            record.string = own
    options = subset.Options(layout_features=[], hinting=False, glyph_names=True, notdef_outline=True)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=range(32, 127))
    cutter.subset(font)
    return font


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two fonts in one file."""
    both = TTCollection()
    both.fonts = [few_letters("DejaVuSans"), few_letters("DejaVuSerif")]
    path = tmp_path_factory.mktemp("fonts") / "two.ttc"
    both.save(str(path), shareTables=False)
    return str(path)


@pytest.fixture(scope="module")
def variable(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A font whose letters can be stretched, and the font that it is by default."""
    folder, font = tmp_path_factory.mktemp("fonts"), few_letters("DejaVuSans")
    font.save(str(folder / "fixed.ttf"))
    axis = Axis()
    axis.axisTag, axis.minValue, axis.defaultValue, axis.maxValue = "wght", 400, 400, 900
    axis.axisNameID = font["name"].addName("Weight")
    font["fvar"] = newTable("fvar")
    font["fvar"].axes, font["fvar"].instances = [axis], []
    font["gvar"] = gvar = newTable("gvar")
    gvar.version, gvar.reserved, gvar.variations = 1, 0, {}
    for name in font.getGlyphOrder():
        points, _ = font["glyf"]._getCoordinatesAndControls(name, font["hmtx"].metrics)[:2]
        gvar.variations[name] = [TupleVariation({"wght": (0.0, 1.0, 1.0)}, [(300, 0)] * len(points))]
    font.save(str(folder / "variable.ttf"))
    return str(folder / "variable.ttf"), str(folder / "fixed.ttf")


@pytest.fixture(scope="module")
def cff(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A font with CFF outlines, and the one with TrueType outlines that it was made of."""
    folder, font = tmp_path_factory.mktemp("fonts"), few_letters("DejaVuSans")
    font.save(str(folder / "glyf.ttf"))
    glyphs, order = font.getGlyphSet(), font.getGlyphOrder()
    strings = {}
    for name in order:
        pen = T2CharStringPen(font["hmtx"][name][0], glyphs)
        glyphs[name].draw(pen)
        strings[name] = pen.getCharString()
    builder = FontBuilder(font["head"].unitsPerEm, isTTF=False)
    builder.setupGlyphOrder(order)
    builder.setupCharacterMap(font.getBestCmap())
    builder.setupCFF("Made", {}, strings, {})
    builder.setupHorizontalMetrics(dict(font["hmtx"].metrics))
    builder.setupHorizontalHeader(ascent=font["hhea"].ascent, descent=font["hhea"].descent)
    builder.setupNameTable({"familyName": "Made", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(str(folder / "made.otf"))
    return str(folder / "made.otf"), str(folder / "glyf.ttf")


def pages(font: str) -> list[Page]:
    return list(render_glyph(chat(20), GlyphConfig(font_path=font, page_size=SMALL.page_size)))


def test_a_font_of_a_collection_is_found_by_its_number(collection):
    first, second = pages(f"{collection}#0"), pages(f"{collection}#1")
    assert [page.sha256 for page in pages(collection)] == [page.sha256 for page in first]
    assert [page.sha256 for page in second] != [page.sha256 for page in first]
    for font in (collection, f"{collection}#1"):
        assert same_pixels(chat(20), GlyphConfig(font_path=font, page_size=SMALL.page_size))[1] >= 0.999
    assert font_digest(f"{collection}#0") == font_digest(collection) != font_digest(f"{collection}#1")


def test_a_number_that_a_collection_lacks_is_one_clear_line(collection):
    with pytest.raises(UserError, match=r"two\.ttc has 2 fonts, and the first is #0"):
        open_font(f"{collection}#2")
    with pytest.raises(UserError, match="has 1 font, and the first is #0"):
        open_font("DejaVuSans#1")
    with pytest.raises(UserError, match=r"no font 'nowhere\.ttc#1'"):
        open_font("nowhere.ttc#1")


def test_a_file_may_be_called_like_a_number(tmp_path):
    path = tmp_path / "font#1"
    path.write_bytes(Path(font_file("DejaVuSans")).read_bytes())
    assert font_index(str(path)) == (str(path), 0)
    assert not isfile(f"{path}#0")
    assert font_digest(str(path)) == font_digest("DejaVuSans") == font_digest(f"{path}#0")


def test_a_configuration_beside_a_collection_finds_it(collection):
    path = Path(collection).parent / "config.json"
    path.write_text('{"font-path": "two.ttc#1"}')
    assert GlyphConfig.read(path).font_path == f"{collection}#1"


def test_a_variable_font_is_what_it_is_by_default(variable):
    stretched, fixed = variable
    assert [page.sha256 for page in pages(stretched)] == [page.sha256 for page in pages(fixed)]
    assert same_pixels(chat(20), GlyphConfig(font_path=stretched, page_size=SMALL.page_size))[1] >= 0.999


def test_cff_outlines_are_drawn_though_reportlab_cannot(cff):
    outlines, original = cff
    assert has_cff_outlines(outlines)
    assert not has_cff_outlines(original)
    for page, other in zip(pages(outlines), pages(original), strict=True):
        assert page.text == other.text
        assert page.pixels.shape == other.pixels.shape
        # The same outlines, by another rule for what is inside where they cross, and rounded to whole units.
        assert np.abs(page.pixels.astype(int) - other.pixels).mean() < 1
    with pytest.raises(TTFError):
        set_pdf("any", GlyphConfig(font_path=outlines))


def test_what_a_font_lacks_is_told_but_not_white_space_nor_what_is_never_shown():
    assert lacking("DejaVuSans", "a\n\t\xa0\u3000\xad\u200b") == set()
    assert lacking("DejaVuSans", "aa中文b中\x01") == {"中", "文", "\x01"}
