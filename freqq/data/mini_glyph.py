"""`mini` in Glyph's look: MRCR chats with answers of up to 400 characters, on one to six small pages.

The embedded model `tiny` cannot read them. They are for models that read Glyph's proportional text at several
resolutions, such as `small`. Pairs and splits are those of `mini`. Page sizes are in points, so a chat has the same
pages at every resolution.
"""

import random
from collections.abc import Iterator
from dataclasses import replace

from freqq.data.mini import WORDS, Exchange, chat_record, exchanges, generate, is_held_out, pseudo_word
from freqq.data.mrcr import sample_from_record
from freqq.data.sample import Sample

REVISION = "mini-glyph-2"
"""Changes whenever the samples of a seed change."""

SHORTEST, USUAL, LONGEST = 30, 110, 400
"""Characters of an answer: fewest, mean of the exponential distribution of lengths, and most."""

WIDTHS, HEIGHTS = (180, 260), (110, 190)
"""Least and largest side of a page, in points: up to 19 x 14 vision tokens at 144 dpi."""

MOST_PAGES = 6

LINE, CHARACTER, FRAME = 10.0, 5.0, 32.0
"""Line height, mean character width, and what frame and margins take of a side, in points: to estimate the number of
pages of a chat."""


def sentence_text(rng: random.Random, test: bool, usual: int = USUAL) -> str:
    """Sentences of words, invented words and numbers, up to a random length, in the split given by `test`."""
    while True:
        length = min(LONGEST, SHORTEST + int(rng.expovariate(1 / (usual - SHORTEST))))
        invented, numbers = rng.random(), rng.random() * 0.15
        text, start = "", True
        while True:
            chance = rng.random()
            if chance < numbers:
                word = str(rng.randrange(10 ** rng.randint(1, 4)))
            else:
                word = pseudo_word(rng) if rng.random() < invented else rng.choice(WORDS)
            word = word.capitalize() if start else word
            mark = rng.random()
            end = "" if mark > 0.22 else "," if mark > 0.1 else rng.choice("..;:?!")
            if len(text) + 1 + len(word) + 1 > length:
                break
            text += (" " if text else "") + word + end
            start = end in (".", "?", "!")
        text = text.rstrip(".,;:?!") + "."
        if len(text) >= SHORTEST // 2 and is_held_out(text) == test:
            return text


def glyph_exchanges(rng: random.Random, needles: int, test: bool) -> tuple[list[Exchange], tuple[str, str]]:
    """A chat of `mini` with longer answers, and the repeated pair."""
    chat, needle = exchanges(rng, needles, test)
    return [replace(exchange, answer=sentence_text(rng, test)) for exchange in chat], needle


def page_size(rng: random.Random, characters: int) -> tuple[int, int]:
    """Random page size in points, such that so many characters fit on `MOST_PAGES`."""
    while True:
        width, height = rng.randint(*WIDTHS), rng.randint(*HEIGHTS)
        lines = characters / ((width - FRAME) / CHARACTER)
        # Wrapping leaves about a seventh of each line empty; messages end within lines, and some pages a line early.
        if lines * 7 / 6 <= int((height - FRAME) / LINE - 1) * (MOST_PAGES - 1.5):
            return width, height


def mini_glyph(needles: int, limit: int = 100, seed: int = 0) -> Iterator[Sample]:
    """Samples of the evaluation split, see `freqq.data.mini.generate`."""
    return generate("mini-glyph", _sample, needles, limit, seed)


def _sample(rng: random.Random, needles: int, id: str) -> Sample:
    record = chat_record(rng, *glyph_exchanges(rng, needles, test=True))
    width, height = page_size(rng, int(str(record["n_chars"])))
    return replace(sample_from_record(record, id, "mini"), config={"page-size": f"{width},{height}"})
