"""RULER's single needles in the look of `mini`, on pages small enough for the embedded model.

That model can read such pages, but it was taught `mini`'s question only: what it answers here says that all of it runs,
and nothing about a method.
"""

import random
import textwrap
from collections.abc import Iterator
from dataclasses import replace

from freqq.data.mini import CELL, MOST_TOKENS, TOKEN, margins, pages_needed
from freqq.data.ruler.generate import SAMPLES, as_sample, characters
from freqq.data.ruler.needles import needles
from freqq.data.sample import Sample
from freqq.errors import UserError

REVISION = "ruler-mini-1"
MADE = ("niah_single_1", "niah_single_2", "niah_single_3")
CONTEXT = 96
SHORTEST, LONGEST = 96, 160
"""Fewest and most tokens of a context: what a needle fits into, and what fits on pages that the model was taught on."""

COLUMNS, MOST_ROWS, MOST_PAGES = 10, 14, 3


def ruler_mini(subtasks: tuple[str, ...], context: int, limit: int | None, seed: int) -> Iterator[Sample]:
    """Samples of some sub-tasks in turn, `limit` of them together; sample i does not depend on `limit`."""
    total = SAMPLES * len(subtasks) if limit is None else limit
    return (_sample(subtasks[i % len(subtasks)], context, seed, i // len(subtasks)) for i in range(total))


def check_context(subtasks: tuple[str, ...], context: int) -> None:
    """Refuse a length that no needle fits into, or that does not fit on the pages.

    Raises
    ------
    UserError
        It names the shortest and longest.
    """
    if not SHORTEST <= context <= LONGEST:
        raise UserError(f"--context {context}: ruler-mini can be made with {SHORTEST} to {LONGEST} tokens")


def _sample(subtask: str, context: int, seed: int, index: int) -> Sample:
    rng = random.Random(f"ruler-mini/{subtask}/{context}/{seed}/{index}")
    made = needles(subtask, rng, characters(context))
    sample = as_sample(made, subtask, f"mini_{subtask}_{context}_s{seed}-{index}", "mini")
    return replace(sample, style=_style(rng, made.context))


def _style(rng: random.Random, context: str) -> dict[str, float | str]:
    """The fewest and then lowest pages that hold a text, with a left margin of up to two characters."""
    style = margins(rng, COLUMNS, sparse=False) | {"margin_left": CELL * rng.randrange(3), "margin_right": 0}
    width = TOKEN * COLUMNS // CELL - int(style["margin_left"]) // CELL
    lines = sum(len(textwrap.wrap(line, width, break_on_hyphens=False)) for line in context.split("\n"))
    _, rows = next(
        (pages, rows)
        for pages in range(1, MOST_PAGES + 1)
        for rows in range(4, min(MOST_ROWS, MOST_TOKENS // COLUMNS // pages) + 1)
        if pages_needed([lines], rows, style) <= pages
    )
    return style | {"width": TOKEN * COLUMNS, "height": TOKEN * rows}
