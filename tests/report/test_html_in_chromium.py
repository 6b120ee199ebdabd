"""A report as a person sees it: in a real browser, on a desk, on a phone, on paper, in the dark."""

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pdfplumber
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from freqq.report.evidence import gather
from freqq.report.html.page import html
from tests.report.conftest import HANGS_MS
from tests.report.made_runs import made_rows, write_run
from tests.report.test_html import hostile_page  # noqa: F401 - a fixture

PHONE, DESK = 390, 1280

LEAST_CONTRASTS = {"text": 4.5, "mark": 3.0, "cell": 4.4}
"""WCAG 2.2, level AA, for text of any size and for the marks of figures. The cells of a heat map go from no colour to
full: where their ink turns from black to white, both are near 4.5."""

CONTRASTS = """() => {
  const pixel = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const over = (colour, below) => {
    pixel.fillStyle = `rgb(${below})`; pixel.fillRect(0, 0, 1, 1);
    pixel.fillStyle = colour; pixel.fillRect(0, 0, 1, 1);
    return [...pixel.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = rgb => {
    const [r, g, b] = rgb.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim(), own = walker.currentNode.parentElement;
    if (!text || own.closest('svg, .unseen, style')) continue;
    const around = [];
    for (let e = own; e; e = e.parentElement) around.unshift(getComputedStyle(e).backgroundColor);
    const paper = around.reduce((below, colour) => over(colour, below), [255, 255, 255]);
    const [a, b] = [luminance(over(getComputedStyle(own).color, paper)), luminance(paper)];
    const kind = own.closest('.heat td') ? 'cell' : own.closest('.legend span') ? 'mark' : 'text';
    found.push([text.slice(0, 40), kind, (Math.max(a, b) + .05) / (Math.min(a, b) + .05)]);
  }
  return found;
}"""


@dataclass
class Seen:
    """A page that is open, and what it complained of or asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def widths(self) -> list[int]:
        """What the page is wide, and what it would have to be for nothing to stick out."""
        return self.page.evaluate("[document.documentElement.clientWidth, document.documentElement.scrollWidth]")


@pytest.fixture
def see(browser: Browser, tmp_path: Path):
    """Opens a page from a file, with the network off."""
    contexts = []

    def opened(text: str, width: int = DESK, scheme: str = "light") -> Seen:
        file = tmp_path / "report.html"
        file.write_text(text, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)
        context.set_default_timeout(HANGS_MS)
        contexts.append(context)
        seen = Seen(context.new_page())
        seen.page.on("console", lambda message: seen.complaints.append(message.text))
        seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        seen.page.on("dialog", lambda dialog: seen.complaints.append(dialog.message))
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.goto(file.as_uri())
        return seen

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def many_bins(tmp_path_factory) -> str:
    """A page with all that makes tables wide: long names, three needle counts, five bins, two runs."""
    folder = tmp_path_factory.mktemp("wide")
    names = {"image": "token-lowpass+quantize"}
    runs = [
        [row.__class__(**vars(row) | {"method": names.get(row.method, row.method)}) for row in made_rows(8, seed=seed)]
        for seed in (0, 1)
    ]
    name = "mrcr-2+4+8needle_Glyph_token-lowpass+quantize_all_n8_s"
    return html(gather([write_run(folder / f"{name}{i}", rows) for i, rows in enumerate(runs)]))


@pytest.mark.parametrize("width", [320, PHONE, 1024, DESK])
@pytest.mark.parametrize("kind", ["small_page", "many_bins", "hostile_page"])
def test_the_page_never_scrolls_sideways(see, request, kind, width):
    seen = see(request.getfixturevalue(kind), width)
    assert seen.widths == [width, width]


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("kind", ["small_page", "many_bins"])
def test_no_table_needs_scrolling_and_the_keyboard_reaches_each(see, request, kind, width):
    boxes = see(request.getfixturevalue(kind), width).page.locator(".box").all()
    assert len(boxes) >= 5
    for box in boxes:
        assert box.evaluate("box => box.scrollWidth - box.clientWidth") == 0
        assert box.get_attribute("tabindex") == "0"
        assert box.get_attribute("aria-label")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_asks_for_nothing_and_shows_every_picture(see, small_page, scheme):
    seen = see(small_page, scheme=scheme)
    assert [url for url in seen.requests if not url.startswith("data:")] == [seen.page.url]
    assert seen.complaints == []
    assert seen.page.locator("img").count() >= 4
    for picture in seen.page.locator("img").all():
        assert picture.evaluate("image => image.complete && image.naturalWidth > 0")


def test_hostile_texts_run_nothing(see, hostile_page):  # noqa: F811
    seen = see(hostile_page)
    assert seen.page.evaluate("window.owned") is None
    assert seen.requests == [seen.page.url]
    assert seen.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_paper(see, small_page, many_bins, scheme):
    for text in (small_page, many_bins):
        found = see(text, scheme=scheme).page.evaluate(CONTRASTS)
        assert len(found) > 200
        assert [f for f in found if f[2] < LEAST_CONTRASTS[f[1]]] == []


def pixels(seen: Seen) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(seen.page.screenshot(full_page=True))).convert("RGB")).astype(int)


def test_screenshots_show_a_light_and_a_dark_page(see, small_page):
    light, dark = (pixels(see(small_page, scheme=scheme)) for scheme in ("light", "dark"))
    assert light.shape == dark.shape
    assert np.median(light) > 240 > 40 > np.median(dark)
    # Colours are the figures' and the differences'.
    for shot in (light, dark):
        assert len(np.unique(shot // 16 @ np.array([256, 16, 1]))) > 50
    # A figure's own paper is the page's.
    assert see(small_page, scheme="dark").page.locator("svg rect[fill='#ffffff']").count() == 0


def test_a_phone_shows_figures_whose_letters_can_be_read(see, small_page):
    seen = see(small_page, PHONE)
    assert pixels(seen).shape[1] == PHONE
    heights = seen.page.locator("svg.chart text").evaluate_all(
        """texts => texts.map(text => {
          const {a, b} = text.getCTM();
          return parseFloat(getComputedStyle(text).fontSize) * Math.hypot(a, b);
        })"""
    )
    assert min(heights) >= 9.5
    for chart in seen.page.locator("svg.chart").all():
        box = chart.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE


@pytest.mark.parametrize("kind", ["small_page", "many_bins"])
def test_on_paper_nothing_is_cut_off(see, request, kind):
    seen = see(request.getfixturevalue(kind), scheme="dark")
    headings = seen.page.locator("h2").all_inner_texts()
    rows = seen.page.locator("section[aria-labelledby=table] tbody tr").count()
    with pdfplumber.open(io.BytesIO(seen.page.pdf(prefer_css_page_size=True))) as paper:
        first, last = paper.pages[0], paper.pages[-1]
        # A4, its long side across under the wide table.
        assert (first.width, first.height) == pytest.approx((842, 595), abs=1)
        assert (last.width, last.height) == pytest.approx((595, 842), abs=1)
        text = "\n".join(page.extract_text() for page in paper.pages)
        for page in paper.pages:
            letters = [c for c in page.chars if c["text"].strip()]
            assert all(c["x0"] >= 20 and c["x1"] <= page.width - 20 for c in letters)
            assert min(c["size"] for c in letters if c["upright"]) >= 5.5
        # What is too wide makes Chromium shrink all of the page.
        assert max(c["size"] for c in first.chars) == pytest.approx(1.8 * 9.5, abs=0.1)
        # Dark ink on white, whatever the screen had.
        ink = {tuple(c["non_stroking_color"]) for c in paper.pages[0].chars if c["text"].strip()}
        assert min(sum(colour) / len(colour) for colour in ink) == 0
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert all(heading in lines for heading in headings)
    assert rows > 10
    assert "Contents" not in text
