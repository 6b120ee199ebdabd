"""Pages as the embedded model was trained on them, for learning what its tokens are like."""

import random
from collections.abc import Iterator

from freqq.data.mini import MOST_TOKENS
from freqq.glm.train.corpus import MAX_EXCHANGES, REPEATS, Sheet, random_shape, some_sheet
from freqq.pages.draw import draw
from freqq.pages.page import Page
from freqq.pages.style import Style


def training_sheets(seed: int = 0) -> Iterator[tuple[Sheet, Style]]:
    """Chats of the training split, laid out, without end.

    They share with evaluation what training does: no asked pair and no answer. Their random stream is one of its own.
    """
    i = 0
    while True:
        rng = random.Random(f"train/codebook/{seed}/{i}")
        yield some_sheet(rng, random_shape(rng, MOST_TOKENS), MAX_EXCHANGES, REPEATS)
        i += 1


def training_pages(seed: int = 0) -> Iterator[Page]:
    """The pages of `training_sheets`, without end."""
    for sheet, style in training_sheets(seed):
        for lines in sheet.pages:
            yield draw(tuple(lines), style)
