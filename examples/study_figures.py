"""All figures of the study.

Usage: python examples/study_figures.py [CHAT] [--out figures] [--keep 0.8 0.5] [--limit 200]

CHAT is a chat file, or any data that 'freqq data info' reads; without it, the built-in chats. Writes

- pipeline.png, the data flow with both methods,
- lengths.png, the lengths of chats and messages,
- for a page in Glyph's look and each fraction of its coefficients to keep, spectrum-KEEP.png (before and after) and
  residual-KEEP.png (the difference amplified five times),
- page.png, the page at all these fractions, side by side.
"""

import argparse
from itertools import islice
from pathlib import Path

from freqq.data.describe import describe
from freqq.data.load import load
from freqq.data.sample import context
from freqq.files import check_writable
from freqq.image.dct import BlockDct
from freqq.image.measures import psnr
from freqq.pages.glyph_pages import render_glyph
from freqq.pages.page import Page
from freqq.report import figures
from freqq.report.pipeline import pipeline
from freqq.runs.rendering import Rendering

FULL_PAGE = 60
"""Number of built-in chats that fill a page in Glyph's look."""


def a_page(data: str) -> Page:
    """A page in Glyph's look: the first of a chat, or several built-in chats, joined because their lines are short."""
    samples = load(data).samples()
    if data == "mini":
        return next(render_glyph(" ".join(context(sample) for sample in islice(samples, FULL_PAGE)).replace("\n", " ")))
    return next(Rendering().pages(next(samples)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chat", nargs="?", default="mini")
    parser.add_argument("--out", type=Path, default=Path("figures"))
    parser.add_argument("--keep", type=float, nargs="+", default=[0.8, 0.5], help="fractions of coefficients to keep")
    parser.add_argument("--limit", type=int, default=200, help="chats of each needle count that are measured")
    given = parser.parse_args()
    check_writable(given.out)
    name, page = Path(given.chat).name, a_page(given.chat)
    described = describe(load(given.chat), given.limit)
    drawn = {
        "pipeline": pipeline(),
        "lengths": figures.lengths(
            described.chat_characters, described.message_characters, f"{name}: how long its chats are"
        ),
    }
    panels = [figures.Panel.of(page)]
    for keep in given.keep:
        codec = BlockDct(keep=keep)
        after = codec.decode(codec.encode(page))
        kept = f"{name}: {keep:.0%} of the coefficients of blocks of {codec.block} × {codec.block} pixels"
        drawn[f"spectrum-{keep:g}"] = figures.spectrum(page, after, codec.block, kept)
        title = f"{kept}, PSNR {psnr(page.pixels, after.pixels):.1f} dB"
        drawn[f"residual-{keep:g}"] = figures.residual(page, after, title)
        panels.append(figures.Panel.of(page, f"{keep:.0%} kept", codec))
    drawn["page"] = figures.compare(panels, name)
    given.out.mkdir(parents=True, exist_ok=True)
    for stem, content in drawn.items():
        (given.out / f"{stem}.png").write_bytes(figures.rendered(content))
        print(given.out / f"{stem}.png")


if __name__ == "__main__":
    main()
