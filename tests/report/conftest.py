"""A run to report on, and a browser to look at the page."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from freqq.report.evidence import gather
from freqq.report.html.page import html
from freqq.runs.run import run
from freqq.runs.settings import Settings
from tests import programs

HANGS_MS = 300_000
"""What takes the browser so long hangs; its own limit, a tenth of it, is one for quiet machines."""


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run: one method that changes images, one that changes tokens, one that drops them."""
    folder = tmp_path_factory.mktemp("report") / "run"
    methods = ("image", "token", "token-prune")
    return run(Settings(needles=(2, 4), methods=methods, levels=("mild", "extreme"), limit=4), folder)


@pytest.fixture(scope="session")
def small_page(small_run: Path) -> str:
    """Its page."""
    return html(gather([small_run]))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium. While it is open an event loop runs in this thread, and no other can."""
    programs.require("browser")
    [program] = programs.PACKAGES["browser"]
    with sync_playwright() as driver:
        # Its sandbox needs rights that containers do not give; it opens nothing but our own pages.
        chromium = driver.chromium.launch(
            executable_path=programs.find(program), args=["--no-sandbox"], timeout=HANGS_MS
        )
        yield chromium
        chromium.close()
