"""Decoding the largest page that a stream may have takes under 256 MB, whatever wrote it and however few its bytes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from freqq.data.pythontext import reference
from freqq.image import container
from freqq.image.base import ImageCodec
from freqq.image.dct import BlockDct, DctQuantize
from freqq.image.standard import Jpeg, Jxl, Png, Webp
from freqq.image.streams import describe
from freqq.image.text import MAX_BYTES, Text
from freqq.image.vq import VectorQuantization
from freqq.pages.glyph import GlyphConfig
from freqq.pages.glyph_pages import render_glyph
from freqq.pages.page import Page

HEIGHT, WIDTH = 3136, 3072
MEMORY_MB = 256
MEASURE = """
import re, sys
from pathlib import Path
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin
from freqq.errors import UserError
from freqq.image.jxl_file import is_installed, library
from freqq.image.streams import decode

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

if is_installed():
    library()
stream = Path(sys.argv[1]).read_bytes()
Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
before = peak()
try:
    print(*decode(stream).pixels.shape, end=" ")
except UserError as error:
    print(type(error).__name__, end=" ")
print((peak() - before) // 1024)
"""
"""Prints the page's shape, or what it was refused as, and by how many MB decoding raised the process's peak."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are measured by Linux's /proc"),
]
CODECS = {
    "png": Png(), "jpeg": Jpeg(), "webp": Webp(quality=40), "webp lossless": Webp(quality=100),
    "jxl": Jxl(effort=1), "jxl lossless": Jxl(quality=100, effort=1),
}  # fmt: skip


def measured(stream: bytes, tmp_path: Path) -> tuple[list[str], int]:
    (tmp_path / "page.fqi").write_bytes(stream)
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "page.fqi")]
    *result, grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return result, int(grown)


@pytest.fixture(scope="module")
def text() -> Page:
    """A page of text of the largest size, as much as the codec text takes."""
    config = GlyphConfig(page_size=(float(WIDTH), float(HEIGHT)), auto_crop_width=False, auto_crop_last_page=False)
    return next(render_glyph((" ".join(reference().split()) * 2)[: MAX_BYTES - 1000], config))


@pytest.fixture(scope="module")
def pages(text: Page) -> dict[str, Page]:
    """Pages in colours: one that takes next to no bytes, a real one, and one that takes as many as it can."""
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    coloured = np.stack([text.pixels, text.pixels // 2, 255 - text.pixels], axis=2)
    return {"blank": Page(np.full_like(noise, 255)), "text": Page(coloured), "noise": Page(noise)}


def test_the_pages_are_the_largest() -> None:
    assert HEIGHT * WIDTH == container.MAX_PIXELS


@pytest.mark.parametrize(
    ("codec", "kind"), [*((codec, kind) for codec in CODECS for kind in ("blank", "text")), ("webp lossless", "noise")]
)
def test_files(codec: str, kind: str, pages: dict[str, Page], tmp_path: Path) -> None:
    result, grown = measured(CODECS[codec].encode(pages[kind]), tmp_path)
    assert result == [str(HEIGHT), str(WIDTH), "3"]
    assert grown < MEMORY_MB


@pytest.mark.parametrize("kind", ["blank", "text"])
def test_plain_pixels(kind: str, pages: dict[str, Page], tmp_path: Path) -> None:
    result, grown = measured(container.write_plain(pages[kind]), tmp_path)
    assert result == [str(HEIGHT), str(WIDTH), "3"]
    assert grown < MEMORY_MB


@pytest.mark.parametrize("kind", ["blank", "text"])
def test_patterns(kind: str, pages: dict[str, Page], tmp_path: Path) -> None:
    """Gray in three planes, which are stored as one."""
    pixels = np.repeat(pages[kind].pixels[..., :1], 3, 2)
    stream = VectorQuantization(tolerance=0).encode(Page(pixels))
    assert describe(stream)["coding"] == "patterns"
    result, grown = measured(stream, tmp_path)
    assert result == [str(HEIGHT), str(WIDTH), "3"]
    assert grown < MEMORY_MB


@pytest.mark.parametrize(
    ("codec", "kind"), [(BlockDct(keep=1), "noise"), (BlockDct(keep=1, block=128), "text"), (DctQuantize(), "blank")]
)
def test_coefficients(codec: ImageCodec, kind: str, pages: dict[str, Page], tmp_path: Path) -> None:
    result, grown = measured(codec.encode(pages[kind]), tmp_path)
    assert result == [str(HEIGHT), str(WIDTH), "3"]
    assert grown < MEMORY_MB


def test_text(text: Page, tmp_path: Path) -> None:
    result, grown = measured(Text().encode(text), tmp_path)
    assert result == [str(HEIGHT), str(WIDTH)]
    assert grown < MEMORY_MB
