"""Pages of a chat, against Glyph's way: reportlab sets a PDF, pdfplumber tells its text, pdf2image draws it.

All run in one process, in turns, on the same chat in the configuration of Glyph's evaluation, and must give the same
pages; the ratios of the median times are printed and stored. Pages that know their text are compared with pages and
pdfplumber's text; what is left of the ratio when nobody asks for the text is printed beside it.
"""

import gc
import random
from collections.abc import Callable
from os.path import isfile
from statistics import median
from time import perf_counter

import numpy as np
import pytest

from freqq.pages.glyph import GlyphConfig
from freqq.pages.glyph_pages import render_glyph
from freqq.pages.page import png_bytes
from tests.pages.glyph_way import draw_pdf, page_texts, png, set_pdf
from tests.pages.test_cjk import MICRO_HEI, some_text

CONFIG = GlyphConfig()
ROUNDS = 5
TURNS, TURNS_TO_SEE = 70, 8
"""Gives about 20 pages; the whole of a long chat would take Glyph's way minutes. Fewer, to see that it works."""


@pytest.fixture(scope="module")
def chat(request) -> str:
    """Turns of prose as in MRCR, with words as often and as long as English has them."""
    rng = random.Random(0)
    letters = "etaoinshrdlucmfwypvbgk"
    lengths = rng.choices([2, 3, 3, 4, 4, 5, 6, 7, 9], k=4000)
    vocabulary = ["".join(rng.choices(letters, range(22, 0, -1), k=length)) for length in lengths]
    frequencies = [1 / rank for rank in range(10, 4010)]
    lines: list[str] = []
    for _ in range(TURNS if request.config.getoption("benchmark_enable") else TURNS_TO_SEE):
        lines.append(f"user: write a poem about {rng.choice(vocabulary)}")
        lines.append("Assistant: " + " ".join(rng.choices(vocabulary, frequencies, k=rng.choice([20, 60]))) + ".")
        lines += [" ".join(rng.choices(vocabulary, frequencies, k=rng.choice([8, 40, 90]))) + "," for _ in range(6)]
        lines.append("")
    return "\n".join(lines)


def in_turns(rounds: int, **works: Callable[[], object]) -> dict[str, float]:
    """Median seconds of each, taken in turns, so that a slow moment of the machine meets all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            gc.collect()  # or one pays for what another left
            start = perf_counter()
            work()
            seconds[name].append(perf_counter() - start)
    return {name: median(some) for name, some in seconds.items()}


@pytest.fixture(scope="module")
def telling(chat) -> float:
    """Seconds that pdfplumber needs for the text of the pages."""
    pdf = set_pdf(chat, CONFIG)
    return in_turns(1, told=lambda: page_texts(pdf))["told"]


def compare(
    benchmark, chat: str, telling: float, ours: Callable[[], list], drawn: Callable[[], list], config=CONFIG
) -> None:
    pages = len(list(render_glyph(chat, config)))
    rounds = 1 if benchmark.disabled else ROUNDS
    seconds = in_turns(rounds, ours=ours, drawn=drawn) | {"told": telling}
    gc.collect()
    benchmark.pedantic(ours, rounds=rounds)
    ratio, bare = (part / seconds["ours"] for part in (seconds["drawn"] + seconds["told"], seconds["drawn"]))
    milliseconds = {f"{name}_ms_a_page": 1000 * each / pages for name, each in seconds.items()}
    benchmark.extra_info.update(pages=pages, times_faster=ratio, times_faster_without_text=bare, **milliseconds)
    if not benchmark.disabled:
        print(f"\n{pages} pages;", ", ".join(f"{name} {value:.2f}" for name, value in milliseconds.items()))
        print(f"{ratio:.0f} times faster than Glyph's way ({bare:.0f} times if its text is not asked for)")


def test_pages_against_reportlab_and_poppler(benchmark, chat, telling):
    """Pages and their text in memory."""
    compare(
        benchmark,
        chat,
        telling,
        ours=lambda: list(render_glyph(chat, CONFIG)),
        drawn=lambda: list(draw_pdf(set_pdf(chat, CONFIG), CONFIG)),
    )


def test_png_files_against_reportlab_and_poppler(benchmark, chat, telling):
    """As above, and every page encoded as a PNG."""
    compare(
        benchmark,
        chat,
        telling,
        ours=lambda: [png_bytes(page) for page in render_glyph(chat, CONFIG)],
        drawn=lambda: [png(pixels) for pixels in draw_pdf(set_pdf(chat, CONFIG), CONFIG)],
    )


@pytest.mark.skipif(not isfile(MICRO_HEI), reason=f"{MICRO_HEI} is not installed")
@pytest.mark.parametrize("kind", ["Chinese", "mixed", "few"])
def test_pages_with_chinese_against_reportlab_and_poppler(benchmark, kind):
    """All in one paragraph, as in Glyph's evaluation; no text is told of either."""
    config = GlyphConfig(font_path=MICRO_HEI)
    text = some_text(kind, {"Chinese": 600, "mixed": 320, "few": 480}[kind] if benchmark.enabled else 30)
    compare(
        benchmark,
        text,
        0.0,
        ours=lambda: list(render_glyph(text, config, True)),
        drawn=lambda: list(draw_pdf(set_pdf(text, config, True), config)),
        config=config,
    )


def test_both_ways_give_the_same_pages(benchmark, chat):
    pdf = set_pdf(chat, CONFIG)
    ours = benchmark.pedantic(lambda: list(render_glyph(chat, CONFIG)), rounds=1)
    drawn, told = list(draw_pdf(pdf, CONFIG)), page_texts(pdf)
    assert len(ours) == len(drawn) == len(told)
    for page, pixels, text in zip(ours, drawn, told, strict=True):
        assert page.pixels.shape == pixels.shape[:2]
        assert (np.abs(page.pixels[..., None].astype(int) - pixels) <= 8).mean() >= 0.999
        assert page.text.split() == text.split()
