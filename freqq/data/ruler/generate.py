"""Generate RULER's samples: seeded, of any length, without a download; and small ones for the embedded model."""

import random
import textwrap
from dataclasses import replace

from freqq.data.bins import BYTES_PER_TOKEN, bin_of
from freqq.data.dataset import Maker
from freqq.data.mini import CELL, MOST_TOKENS, TOKEN, is_held_out, margins, pages_needed
from freqq.data.mini_glyph import page_size
from freqq.data.ruler.contexts import NEEDLES, Generated, common_words, frequent_words, needles, variables
from freqq.data.sample import Sample, Turn
from freqq.data.tasks.ruler import answer

SHORTEST = dict.fromkeys((*NEEDLES, "vt", "cwe", "fwe"), 256) | dict.fromkeys(
    ("niah_multikey_2", "niah_multikey_3", "cwe", "fwe"), 512
)
"""The sub-tasks that can be generated, and the fewest tokens of a context that holds their needles or words. The
question-answering sub-tasks would need the documents of SQuAD and HotpotQA."""

MINI_SHORTEST = dict.fromkeys(("niah_single_1", "niah_single_2", "niah_single_3"), 96)
MINI_LONGEST = 160
"""Tokens of a context: from what a needle needs to what fits on pages like those the embedded model was trained on."""

GLYPH_SHORTEST = {"niah_single_1": 96, "niah_single_2": 96, "niah_multikey_1": 128}
GLYPH_LONGEST = 400
"""Likewise in Glyph's look, for the reader of it that `freqq train small` makes."""

COLUMNS, MOST_ROWS, MOST_PAGES = 10, 14, 3
"""Size of pages in the look of `mini`, in vision tokens."""


def ruler_sample(subtask: str, context: int, seed: int, index: int) -> Sample:
    """One sample, deterministic on every machine.

    Its context has between 95 % and 100 % of `context` tokens, estimated by `freqq.data.bins.estimate` so that samples
    do not depend on whether tiktoken is installed.
    """
    generated = _generate(subtask, random.Random(f"ruler/{subtask}/{context}/{seed}/{index}"), context)
    return as_sample(generated, subtask, f"{subtask}_{context}_s{seed}-{index}", bin_of(context))


def as_sample(generated: Generated, subtask: str, id: str, bin: str) -> Sample:
    """A generated text as a sample without a page style."""
    return Sample(
        id=id,
        bin=bin,
        bin_source="estimate",
        turns=(Turn("", generated.context),),
        question=generated.question,
        answer=answer(generated.references, any_reference=False),
        references=generated.references,
        subtask=subtask,
    )


def characters(tokens: int) -> int:
    """The most characters that `freqq.data.bins.estimate` counts as so many tokens, less one against rounding."""
    return int(tokens * BYTES_PER_TOKEN) - 1


def _generate(subtask: str, rng: random.Random, context: int) -> Generated:
    room = characters(context)
    if subtask == "cwe":
        return common_words(subtask, rng, room, context)
    if subtask == "fwe":
        return frequent_words(subtask, rng, room, context)
    return (variables if subtask == "vt" else needles)(subtask, rng, room)


def mini_sample(subtask: str, context: int, seed: int, index: int) -> Sample:
    """One sample on pages in the look of `mini`, small enough for the embedded model.

    That model can read such pages, but was trained on `mini`'s question only: its answers show that the pipeline works,
    and nothing about a method.
    """
    rng = random.Random(f"ruler-mini/{subtask}/{context}/{seed}/{index}")
    generated = needles(subtask, rng, characters(context))
    sample = as_sample(generated, subtask, f"mini_{subtask}_{context}_s{seed}-{index}", "mini")
    return replace(sample, style=_style(rng, generated.context))


def glyph_sample(subtask: str, context: int, seed: int, index: int) -> Sample:
    """One sample on a few small pages in Glyph's look (`freqq.data.mini_glyph`); its number is one that training never
    asks for."""
    rng = random.Random(f"ruler-mini-glyph/{subtask}/{context}/{seed}/{index}")
    while True:
        generated = needles(subtask, rng, characters(context))
        if is_held_out(generated.references[0]):
            break
    width, height = page_size(rng, len(generated.context))
    sample = as_sample(generated, subtask, f"glyph_{subtask}_{context}_s{seed}-{index}", "mini")
    return replace(sample, config={"page-size": f"{width},{height}"})


def _style(rng: random.Random, context: str) -> dict[str, float | str]:
    """The style of the fewest and then lowest pages that hold a text, with a left margin of up to two characters."""
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
    # RULER's shortest context is 4096 tokens.
    "ruler": Maker("ruler-1", 4096, SHORTEST, 2**20, ruler_sample),
    "ruler-mini": Maker("ruler-mini-1", 96, MINI_SHORTEST, MINI_LONGEST, mini_sample),
}
"""Generators by the name of their data set."""

IN_GLYPHS_LOOK = Maker("ruler-mini-glyph-1", 256, GLYPH_SHORTEST, GLYPH_LONGEST, glyph_sample)
"""What ``ruler-mini`` is in Glyph's look."""
