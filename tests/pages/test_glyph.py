"""Glyph's configuration."""

import json
from dataclasses import fields, replace

import pytest

from freqq.errors import UserError
from freqq.pages.glyph import GlyphConfig
from freqq.pages.style import font_file

EVALUATION = {
    "page-size": "595,842",
    "dpi": 72,
    "margin-x": 10,
    "margin-y": 10,
    "font-path": "../config/Verdana.ttf",
    "font-size": 9,
    "line-height": 10,
    "font-color": "#000000",
    "alignment": "LEFT",
    "horizontal-scale": 1.0,
    "first-line-indent": 0,
    "left-indent": 0,
    "right-indent": 0,
    "space-after": 0,
    "space-before": 0,
    "border-width": 0,
    "border-padding": 0,
    "page-bg-color": "#FFFFFF",
    "para-bg-color": "#FFFFFF",
    "auto-crop-width": True,
    "auto-crop-last-page": True,
    "newline-markup": "<br/>",
}


def test_the_defaults_are_those_of_glyphs_evaluation():
    read = GlyphConfig.from_mapping(EVALUATION, font="DejaVuSans")
    assert replace(read, line_height=None) == GlyphConfig()
    assert read.leading == GlyphConfig().leading == 10


def test_a_file_is_read_as_it_is(tmp_path):
    (tmp_path / "fonts").mkdir()
    (tmp_path / "fonts" / "mine.ttf").symlink_to(font_file("DejaVuSerif"))
    values = EVALUATION | {"font-path": "fonts/mine.ttf", "page-size": [300, 200.5], "font-color": "#FF8000"}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(values), "utf-8")
    config = GlyphConfig.read(path)
    assert config.font_path == str(tmp_path / "fonts" / "mine.ttf")
    assert (config.page_size, config.font_color) == ((300.0, 200.5), (255, 128, 0))


def test_an_item_overrides_what_it_names():
    base = GlyphConfig(dpi=96, alignment="RIGHT")
    assert GlyphConfig.from_mapping({"dpi": 120}, base=base) == replace(base, dpi=120.0)


@pytest.mark.parametrize("field", fields(GlyphConfig), ids=lambda field: field.name)
def test_every_key_refuses_a_value_of_another_kind(field):
    key = field.name.replace("_", "-")
    with pytest.raises(UserError, match=key):
        GlyphConfig.from_mapping({key: {"a": 1}})


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"marginx": 3}, "nearest is 'margin-x'"),
        ({"font-path": "nowhere/Verdana.ttf"}, "--font"),
        ({"alignment": "left"}, "LEFT, CENTER, RIGHT, JUSTIFY"),
        ({"font-color": "black"}, "#000000"),
        ({"font-color": "#00"}, "#000000"),
        ({"page-size": "595"}, "595,842"),
        ({"page-size": "a,b"}, "595,842"),
        ({"page-size": "nan,842"}, "page-size"),
        ({"page-size": "1e9,842"}, "page-size"),
        ({"page-size": "10000,842"}, "8192 px"),
        ({"dpi": 0}, "dpi"),
        ({"dpi": float("nan")}, "dpi"),
        ({"dpi": True}, "number"),
        ({"dpi": 10**400}, "too large"),
        ({"horizontal-scale": 1e-3}, "horizontal-scale"),
        ({"font-size": 1e9}, "font-size"),
        ({"margin-x": 290}, "no room for a word"),
        ({"left-indent": 560}, "no room for a word"),
        ({"margin-y": 412}, "no room for a line"),
        ({"newline-markup": "<b>x</b>"}, "<br/>"),
        ({"newline-markup": "<font color='#F00'>"}, "<br/>"),
        ({"newline-markup": "</font><font color='#F00'>"}, "<br/>"),
        ({"newline-markup": "<font color='nosuch'>x</font>"}, "nosuch"),
        ({"newline-markup": "x" * 2000}, "longer"),
        ({"newline-markup": "a < b"}, "<br/>"),
    ],
)
def test_bad_values_are_one_clear_line(values, says):
    with pytest.raises(UserError) as error:
        GlyphConfig.from_mapping(values)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"dpi": 72,\n "margin-x": }', "line 2"),
        (b"[1, 2]", "JSON object"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"[" * 100_000, "JSON"),
        (b'{"dpi": ' + b"9" * 5000 + b"}", "JSON"),
        (b" " * (2 << 20), "too large"),
        (b'{"dpl": 72}', "nearest is 'dpi'"),
    ],
)
def test_a_bad_file_is_one_clear_line_that_names_it(tmp_path, content, says):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        GlyphConfig.read(path)
    assert says in str(error.value)
    assert str(path) in str(error.value)


def test_a_missing_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        GlyphConfig.read(tmp_path / "none.json")
