"""Image codecs on dense pages of Glyph's look: bytes and times, beside standard codecs and the study's algorithm.

The pages show text that the shipped codebook was not trained on: docstrings and source of libraries, a chat in an
invented vocabulary, and syllables, where letters depend on one another as in no word of its training. All codecs run in
one process, in turns; ratios of median times are printed and stored.
"""

import ast
import random
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import pytest
import scipy
import transformers
from matplotlib.font_manager import findSystemFonts
from scipy.fftpack import dct, idct

from freqq.data.mini import pseudo_word
from freqq.image.base import ImageCodec
from freqq.image.codebooks import codebooks
from freqq.image.dct import BlockDct, DctQuantize, largest
from freqq.image.gray import Gray2
from freqq.image.standard import Jpeg, Jxl, Png, Webp
from freqq.image.text import Text
from freqq.image.vq import VectorQuantization
from freqq.pages.glyph import GlyphConfig
from freqq.pages.glyph_pages import render_glyph
from freqq.pages.page import Page
from freqq.transforms.blocks import block_dct
from tests.transforms.test_dct import block_idct

PAGES, ROUNDS = 20, 3
VERDANA = [path for path in findSystemFonts() if Path(path).name.lower() == "verdana.ttf"]
CODECS: dict[str, ImageCodec] = {
    "vq, lossless": VectorQuantization.at("ultra_mild"),
    "vq, mild": VectorQuantization.at("mild"),
    "text": Text(),
    "png": Png(),
    "webp, lossless": Webp(quality=100),
    "gray2": Gray2(),
    "jxl, q27": Jxl.at("ultra_mild"),
    "jpeg, mild": Jpeg.at("mild"),
    "quantize, mild": DctQuantize.at("mild"),
    "dct, mild": BlockDct.at("mild"),
}


def docstrings() -> str:
    """English: what scipy's functions say of themselves, without its line breaks."""
    found = []
    for path in sorted(Path(scipy.__file__).parent.glob("*/_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found += [part for part in (ast.get_docstring(node) or "").split("\n\n") if len(part) > 200]
    return " ".join(" ".join(found).split())


def prose() -> str:
    """Those of the paragraphs that are sentences: no list of parameters, no code, few formulas."""

    def is_prose(text: str) -> bool:
        plain = sum(c.isalpha() or c in " ,.'-" for c in text)
        return len(text) > 120 and not any(mark in text for mark in ("`", "_", "--")) and plain > 0.96 * len(text)

    found = []
    for path in sorted(Path(scipy.__file__).parent.glob("*/_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found += [" ".join(part.split()) for part in (ast.get_docstring(node) or "").split("\n\n")]
    return " ".join(filter(is_prose, dict.fromkeys(found)))


def code() -> str:
    """Source of transformers."""
    files = sorted(Path(transformers.__file__).parent.glob("*.py"))
    return "\n".join(path.read_text(encoding="utf-8") for path in files[:9])


def chat() -> str:
    """A dialogue in words that no language has, with letters as often as in English."""
    rng = random.Random(0)
    words = ["".join(rng.choices("etaoinshrdlucmfwypvbgk", range(22, 0, -1), k=rng.randint(2, 9))) for _ in range(4000)]
    turns = (f"{role}: " + " ".join(rng.choices(words, k=rng.randint(20, 300))) for role in 300 * ("User", "Assistant"))
    return "\n".join(turns)


def syllables() -> str:
    """Words of consonants and vowels in turn."""
    rng = random.Random(0)
    return " ".join(pseudo_word(rng) for _ in range(60_000))


TEXTS = {"English": docstrings, "code": code, "invented words": chat, "syllables": syllables}


def pages_of(kind: str, count: int) -> list[Page]:
    return list(islice(render_glyph(TEXTS[kind]()), count))


def timed(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def typical(works: list[Callable[[], object]]) -> float:
    return median(timed(work) for work in works for _ in range(ROUNDS))


@pytest.mark.parametrize("kind", TEXTS)
def test_codecs(benchmark, kind, capsys):
    pages = pages_of(kind, PAGES if benchmark.enabled else 1)  # one, to see that it works
    lines = [f"{kind}: {len(pages)} pages, {sum(len(p.text) for p in pages) // len(pages):,} characters a page"]
    book = next(len(book.file) for book in codebooks())
    for name, codec in CODECS.items():
        streams = [codec.encode(page) for page in pages]
        encode = typical([partial(codec.encode, page) for page in pages[:5]])
        decode = typical([partial(codec.decode, stream) for stream in streams[:5]])
        size = sum(map(len, streams)) / len(pages)
        benchmark.extra_info[name] = {"bytes": size, "encode_ms": encode * 1e3, "decode_ms": decode * 1e3}
        lines.append(
            f"  {name:16}{size:10,.0f} bytes a page, encode {encode * 1e3:6.1f} ms, decode {decode * 1e3:6.1f} ms"
        )
    lines.append(
        f"  the codebook of vq has {book:,} bytes: over 100 pages {book / 100:,.0f}, over 10,000 {book / 10_000:,.0f}"
    )
    times = {name: found["encode_ms"] + found["decode_ms"] for name, found in benchmark.extra_info.items()}
    ratios = [times[f"{name}, mild"] / times["jpeg, mild"] for name in ("quantize", "dct")]
    lines.append(
        "  there and back, quantize and dct take {:.1f} and {:.1f} times as long as libjpeg-turbo".format(*ratios)
    )
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    benchmark(CODECS["vq, lossless"].encode, pages[0])


@pytest.mark.parametrize("font", ["DejaVuSans", "DejaVuSerif", *VERDANA])
def test_vq_in_any_font(benchmark, capsys, font):
    """English at Glyph's look; for a font without a codebook, how long it takes to learn one (mostly drawing pages)."""
    config, start = GlyphConfig(font_path=font), perf_counter()
    codec = VectorQuantization.at("ultra_mild")
    if benchmark.enabled:
        codec = codec.prepared([config])
    took = perf_counter() - start
    pages = list(islice(render_glyph(prose(), config), PAGES if benchmark.enabled else 1))
    sizes = [len(codec.encode(page)) for page in pages]
    benchmark.extra_info.update(bytes=sum(sizes) / len(sizes), most=max(sizes), learning_s=took)
    with capsys.disabled():
        print(f"\n{font}: vq without loss, {sum(sizes) / len(sizes):,.0f} bytes a page, at most {max(sizes):,}", end="")
        print(f"; learned in {took:.0f} s")
    benchmark(codec.encode, pages[0])


def as_published(plane: np.ndarray, block: int, keep: float) -> np.ndarray:
    """The study's algorithm: a transform a block, one percentile over the page, an inverse a block."""
    h, w = (n // block * block for n in plane.shape)
    coefficients = np.zeros((h, w))
    for y in range(0, h, block):
        for x in range(0, w, block):
            tile = plane[y : y + block, x : x + block].astype(float)
            coefficients[y : y + block, x : x + block] = dct(dct(tile.T, norm="ortho").T, norm="ortho")
    threshold = np.percentile(np.abs(coefficients), 100 * (1 - keep))
    kept = np.where(np.abs(coefficients) >= threshold, coefficients, 0)
    kept[::block, ::block] = coefficients[::block, ::block]
    pixels = np.zeros((h, w))
    for y in range(0, h, block):
        for x in range(0, w, block):
            tile = kept[y : y + block, x : x + block]
            pixels[y : y + block, x : x + block] = idct(idct(tile.T, norm="ortho").T, norm="ortho")
    return np.clip(pixels, 0, 255)


def ours(plane: np.ndarray, block: int, keep: float) -> np.ndarray:
    coefficients = block_dct(plane, block)
    coefficients *= largest(coefficients, keep)
    return np.clip(block_idct(coefficients, *plane.shape), 0, 255)


def test_thresholding_against_the_study(benchmark, capsys):
    """Transform, choice of coefficients and inverse, without coding; of whole blocks, so that both agree."""
    plane = next(render_glyph(docstrings())).pixels[:840, :588]
    assert np.abs(as_published(plane, 14, 0.5) - ours(plane, 14, 0.5)).max() < 1
    theirs = median(timed(lambda: as_published(plane, 14, 0.5)) for _ in range(ROUNDS))
    mine = median(timed(lambda: ours(plane, 14, 0.5)) for _ in range(5 * ROUNDS))
    benchmark.extra_info.update(study_ms=theirs * 1e3, ours_ms=mine * 1e3, ratio=theirs / mine)
    with capsys.disabled():
        print(f"\nthresholding: study {theirs * 1e3:.1f} ms, freqq {mine * 1e3:.1f} ms, {theirs / mine:.1f}x")
    benchmark(ours, plane, 14, 0.5)
