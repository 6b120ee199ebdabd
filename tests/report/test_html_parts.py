"""The parts that a page is made of."""

import base64
import io
import re
from difflib import SequenceMatcher
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from freqq.pages.page import Page
from freqq.report.html.charts import INK, SERIES, SETTINGS, inline, latency, memory, new_figure
from freqq.report.html.differences import CONTEXT, MOST, compared, differences, shortened
from freqq.report.html.heat import STRONG, colours
from freqq.report.html.page_pictures import picture
from freqq.report.html.rates import Point, panels
from freqq.report.statistics import Estimate
from freqq.report.token_pictures import token_pixels
from freqq.tokens import COMPRESSORS
from freqq.tokens.grid import whole
from tests.report.markup import parse

TEXTS = st.text("ab c\n<é", max_size=60)


@given(TEXTS, TEXTS)
def test_differences_are_of_the_two_texts_and_of_nothing_else(expected, given_):
    pieces = differences(expected, given_)
    assert "".join(p.text for p in pieces if p.kind != "added") == expected
    assert "".join(p.text for p in pieces if p.kind != "missing") == given_
    assert all(p.text for p in pieces)
    assert not any(a.kind == b.kind for a, b in pairwise(pieces))


@given(TEXTS)
def test_equal_texts_have_no_difference(text):
    assert [p.kind for p in differences(text, text)] == (["equal"] if text else [])


@given(TEXTS, TEXTS)
def test_all_that_difflib_calls_different_is_marked(expected, given_):
    marked = sum(len(p.text) for p in differences(expected, given_) if p.kind == "missing")
    same = sum(block.size for block in SequenceMatcher(None, expected, given_, autojunk=False).get_matching_blocks())
    assert marked >= len(expected) - same


def test_white_space_is_seen_where_it_makes_the_difference():
    assert [p.shown for p in differences("one two", "one  two")] == ["one ", "␣", "two"]
    assert [p.shown for p in differences("end", "end\n")] == ["end", "↵\n"]
    assert [p.shown for p in differences("", " a b ")] == ["␣a b␣"]


def test_long_equal_stretches_are_counted_and_the_text_around_a_change_stays():
    text = "x" * 500 + "!" + "y" * 500
    pieces = shortened(differences(text, text.replace("!", "?")))
    assert [p.kind for p in pieces] == ["left out", "equal", "missing", "added", "equal", "left out"]
    assert [len(p.text) for p in pieces if p.kind == "equal"] == [CONTEXT, CONTEXT]
    assert sum(p.count for p in pieces) + sum(len(p.text) for p in pieces if p.kind in ("equal", "missing")) == 1001


def test_texts_of_any_length_are_compared_at_their_beginning():
    long = "a" * (MOST + 77)
    assert compared(long, "b" + long[1:])[-1].count == 77
    assert sum(len(p.text) for p in compared("", "b" * 10 * MOST)) == MOST


def test_a_picture_is_the_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    found = picture(pixels, "noise", "some noise")
    kind, content = found.address.split(",")
    assert kind == "data:image/webp;base64"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))), pixels)
    assert (found.width, found.height) == (30, 20)


PAGE = Page(np.random.default_rng(1).choice(np.array([0, 255], np.uint8), (280, 196)))
GRID = torch.randn(10, 7, 16, generator=torch.Generator().manual_seed(0))


def test_kept_tokens_show_the_page_and_dropped_ones_are_pale():
    compressed = COMPRESSORS["token-prune"].at("mild").compress(GRID)
    shown, words = token_pixels(PAGE, GRID, compressed)
    assert words.startswith(f"{len(compressed.kept)} of 70 tokens kept")
    kept = np.zeros(70, bool)
    kept[compressed.kept.numpy()] = True
    factor = shown.shape[0] // 280
    for number, is_kept in enumerate(kept):
        row, column = divmod(number, 7)
        page = PAGE.pixels[row * 28 : row * 28 + 28, column * 28 : column * 28 + 28]
        page = page.repeat(factor, 0).repeat(factor, 1)
        there = shown[row * 28 * factor :, column * 28 * factor :][: 28 * factor, : 28 * factor]
        assert (there == page[..., None]).all() == is_kept
        assert is_kept or (there.min() >= 100 and there.max() < 240)


def test_tokens_that_changed_more_are_more_orange():
    changed = whole(GRID.clone())
    changed.features[3] += 2.0
    changed.features[40] += 1.0
    blank = Page(np.full((280, 196), 255, np.uint8))
    shown, words = token_pixels(blank, GRID, changed)
    assert words.startswith("all 70 tokens kept")
    side = shown.shape[0] // 10
    blue = shown[side // 2 :: side, side // 2 :: side, 2].ravel().astype(int)
    assert blue[3] < blue[40] < 255
    assert (np.delete(blue, [3, 40]) == 255).all()
    same, words = token_pixels(blank, GRID, whole(GRID))
    assert words == "all 70 tokens kept, and none changed"
    assert (same == 255).all()


def test_a_smaller_grid_is_drawn_as_its_outlines():
    compressed = COMPRESSORS["token-lowpass"].at("extreme").compress(GRID)
    rows, columns = compressed.small
    shown, words = token_pixels(Page(np.full((280, 196), 255, np.uint8)), GRID, compressed)
    assert f"10 × 7 tokens became {rows} × {columns}" in words
    drawn = (shown != 255).any(axis=2)
    assert drawn.all(axis=1).sum() == rows - 1
    assert drawn.all(axis=0).sum() == columns - 1


@given(st.floats(-3, 3))
def test_colours_of_a_heat_map_are_those_of_their_sign_and_grow_with_size(value):
    paper, ink = colours(value)
    share = int(paper.split(" ")[3].rstrip("%,"))
    assert share == round(100 * min(abs(value), 1))
    assert ("#b2182b" in paper) == (value < 0)
    assert (ink == "#fff") == (min(abs(value), 1) >= STRONG["#b2182b" if value < 0 else "#2166ac"])


@pytest.mark.parametrize("name", ["a$^$", "$\\frac$", "5$ and 6$"])
def test_dollar_signs_in_the_name_of_a_run_are_no_formula(name):
    assert name in latency([(f"token mild, {name}", {"prefill_ms": 3.0})], "x")


def test_a_figure_takes_its_colours_from_the_page_and_its_ids_are_its_own():
    def drawn(name: str) -> str:
        with mpl.rc_context(SETTINGS):
            figure, axes = new_figure(3, 2)
            axes.plot([1, 2], [3, 4])
            return inline(figure, name, 'a "line" <of> two & more')

    first = drawn("one")
    assert first == drawn("one")
    [svg] = parse(first).all("svg")
    assert svg.attributes["aria-label"] == 'a "line" <of> two & more'
    assert "var(--ink)" in first
    assert INK not in first
    assert all(e.attributes["id"].startswith("one-") for e in svg.all() if "id" in e.attributes)
    assert not any("metadata" in e.name for e in svg.all())


def line(name: str, *tokens: float) -> dict[str, list[Point]]:
    points = []
    for number, rate in enumerate(tokens):
        rates = {"image_bytes": 1.0, "token_bytes": None, "tokens": rate}
        points.append(Point(f"l{number}", rates, Estimate(0.9 - rate / 10, 0.5, 0.95, 9)))
    return {name: points}


def test_a_rate_that_nothing_changes_has_no_figure_and_that_is_said():
    found = panels(line("prune", 0.5, 0.25) | line("quantize", 1.0, 1.0), "x", "retention")
    assert len(found.charts) == 1
    assert "tokens in the sequence" in found.charts[0]
    assert "prune: l0 85 at 50 %, l1 88 at 25 %" in found.charts[0]
    assert "quantize" not in found.charts[0]
    assert "nothing changes the bytes of the page images, so there is no figure of it" in found.notes
    assert "quantize does not change the tokens in the sequence" in found.notes
    assert [key.name for key in found.legend] == ["prune", "quantize"]
    assert len({(key.colour, key.mark) for key in found.legend}) == 2


@pytest.mark.parametrize("rate", [1e-4, 0.003, 0.5, 3.0, 40.0])
def test_any_rate_can_be_drawn(rate):
    found = panels(line("method", rate), "x", "score")
    assert "100 %" in found.charts[0]


def x_labels(chart: str) -> list[float]:
    """The percentages beside the ticks of the rates."""
    return [float(text) for text in re.findall(r">([0-9.]+) %<", chart)]


@given(st.lists(st.floats(1e-3, 60).filter(lambda rate: abs(rate - 1) > 1e-6), min_size=1, max_size=4))
@example([0.9])
@example([0.95, 0.97])
@example([3.34])
@example([0.003, 0.02])
@settings(max_examples=15)
def test_every_axis_has_ticks_and_100_percent_among_them(rates):
    [chart] = panels(line("method", *rates), "x", "score").charts
    ticks = x_labels(chart)
    assert 3 <= len(ticks) <= 7
    assert 100 in ticks
    assert ticks == sorted(ticks)


def test_bars_carry_whole_names_and_the_cache_is_of_two_parts():
    names = ["token-lowpass+quantize ultra_mild, a-run-with-a-long-name", "baseline"]
    bars = [(name, {"prefill_ms": 10.0, "kv_prompt_bytes": 3e6, "kv_answer_bytes": 1e6}) for name in names]
    for chart in (latency(bars, "x"), memory(bars, "y")):
        shown = "".join(e.text for e in parse(chart).all("text"))
        for name in names:
            assert re.sub("[, ]", "", name) in re.sub("[, ]", "", shown)
    assert "answer" in memory(bars, "y")
    assert "4.0 MB" in memory(bars, "y")
    assert len(set(SERIES)) == len(SERIES)
