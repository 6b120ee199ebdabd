"""`mini` in Glyph's look: MRCR chats with answers of up to several hundred characters, on one to six small pages.

The embedded model `tiny` cannot read them: they are for a model that reads Glyph's proportional text at several
resolutions, such as the reader that `freqq train small` trains. The chat's pairs and their split are those of `mini`.
The size of a page is in points, so that a chat has the same pages at every resolution.
"""

import random
from collections.abc import Iterator
from dataclasses import replace

from freqq.data.mini import WORDS, Exchange, chat_record, exchanges, is_held_out, made, pseudo_word
from freqq.data.mrcr import sample_from_record
from freqq.data.sample import Sample

REVISION = "mini-glyph-1"
"""Changes whenever the generator would give other samples for the same seed."""

SHORTEST, USUAL, LONGEST = 30, 110, 400
"""Characters of an answer: fewest, what the lengths' distribution falls off by, and most."""

WIDTHS, HEIGHTS = (200, 360), (110, 260)
"""Least and largest side of a page, in points."""

MOST_PAGES = 6

LINE, CHARACTER, FRAME = 10.0, 5.0, 32.0
"""Height of a line and mean width of a character of Glyph's text, and what frame and margins take of a side, in points:
for the estimate of how many pages a chat has."""


def sentence_text(rng: random.Random, test: bool, usual: int = USUAL) -> str:
    """Sentences of words, invented words and numbers, up to a random length; of the asked split by its hash."""
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
    """A chat as `mini` makes them, with longer answers, and the repeated pair."""
    chat, asked = exchanges(rng, needles, test)
    return [replace(exchange, answer=sentence_text(rng, test)) for exchange in chat], asked


def page_size(rng: random.Random, characters: int) -> tuple[int, int]:
    """Sides of a page in points, on at most `MOST_PAGES` of which so many characters fit."""
    while True:
        width, height = rng.randint(*WIDTHS), rng.randint(*HEIGHTS)
        lines = characters / ((width - FRAME) / CHARACTER)
        # A seventh of a line is left empty where words wrap; messages end within lines, and some pages a line early.
        if lines * 7 / 6 <= int((height - FRAME) / LINE - 1) * (MOST_PAGES - 1.5):
            return width, height


def mini_glyph(needles: int, limit: int = 100, seed: int = 0) -> Iterator[Sample]:
    """Held-out samples as `freqq.data.mini.made` gives them."""
    return made("mini-glyph", _sample, needles, limit, seed)


def _sample(rng: random.Random, needles: int, id: str) -> Sample:
    record = chat_record(rng, *glyph_exchanges(rng, needles, test=True))
    width, height = page_size(rng, int(str(record["n_chars"])))
    return replace(sample_from_record(record, id, "mini"), config={"page-size": f"{width},{height}"})
