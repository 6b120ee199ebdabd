"""RULER's samples, made here: seeded, of any length, without a download; and in small for the embedded model."""

import random
import textwrap
from dataclasses import replace

from freqq.data.bins import BYTES_PER_TOKEN, bin_of
from freqq.data.dataset import Maker
from freqq.data.mini import CELL, MOST_TOKENS, TOKEN, margins, pages_needed
from freqq.data.ruler.contexts import NEEDLES, Made, common_words, frequent_words, needles, variables
from freqq.data.sample import Sample, Turn
from freqq.data.tasks.ruler import answer

SHORTEST = dict.fromkeys((*NEEDLES, "vt", "cwe", "fwe"), 256) | dict.fromkeys(
    ("niah_multikey_2", "niah_multikey_3", "cwe", "fwe"), 512
)
"""The sub-tasks that are made here, and the fewest tokens of a context that their needles or words fit into. The
sub-tasks of questions need the documents of SQuAD and HotpotQA."""

MINI_SHORTEST = dict.fromkeys(("niah_single_1", "niah_single_2", "niah_single_3"), 96)
MINI_LONGEST = 160
"""Tokens of a context: what a needle fits into, and what fits on pages that the embedded model was taught on."""

COLUMNS, MOST_ROWS, MOST_PAGES = 10, 14, 3
"""Of pages in the look of `mini`."""


def ruler_sample(subtask: str, context: int, seed: int, index: int) -> Sample:
    """One sample, the same for the same arguments everywhere.

    Its context has at most `context` tokens and at least 95 % of them. So that this does not depend on what is
    installed, they are o200k tokens as `freqq.data.bins.estimate` has them: 4.8 characters each.
    """
    made = _made(subtask, random.Random(f"ruler/{subtask}/{context}/{seed}/{index}"), context)
    return as_sample(made, subtask, f"{subtask}_{context}_s{seed}-{index}", bin_of(context))


def as_sample(made: Made, subtask: str, id: str, bin: str) -> Sample:
    """A generated text as a sample without a look of its own."""
    return Sample(
        id=id,
        bin=bin,
        bin_source="estimate",
        turns=(Turn("", made.context),),
        question=made.question,
        answer=answer(made.references, any_reference=False),
        references=made.references,
        subtask=subtask,
    )


def characters(tokens: int) -> int:
    """The most characters that `freqq.data.bins.estimate` counts as so many tokens, and one less against rounding."""
    return int(tokens * BYTES_PER_TOKEN) - 1


def _made(subtask: str, rng: random.Random, context: int) -> Made:
    room = characters(context)
    if subtask == "cwe":
        return common_words(subtask, rng, room, context)
    if subtask == "fwe":
        return frequent_words(subtask, rng, room, context)
    return (variables if subtask == "vt" else needles)(subtask, rng, room)


def mini_sample(subtask: str, context: int, seed: int, index: int) -> Sample:
    """One sample on pages in the look of `mini`, which are small enough for the embedded model.

    That model can read such pages, but it was taught `mini`'s question only: what it answers here says that all of it
    runs, and nothing about a method.
    """
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


MAKERS = {
    # 4096 tokens are the shortest context that RULER uses.
    "ruler": Maker("ruler-1", 4096, SHORTEST, 2**20, ruler_sample),
    "ruler-mini": Maker("ruler-mini-1", 96, MINI_SHORTEST, MINI_LONGEST, mini_sample),
}
"""What can be made, by the names of the data."""
