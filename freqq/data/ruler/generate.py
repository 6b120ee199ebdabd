"""RULER's samples, made here: seeded, of any length, without a download."""

import random
from collections.abc import Iterator

from freqq.data.bins import bin_of
from freqq.data.o200k import BYTES_PER_TOKEN
from freqq.data.ruler.counting import common_words, frequent_words
from freqq.data.ruler.needles import NEEDLES, Made, needles, variables
from freqq.data.sample import Sample, Turn
from freqq.data.tasks.ruler import answer
from freqq.errors import UserError

REVISION = "ruler-1"
"""Changes whenever the generator would give other samples for the same seed."""

MADE = (*NEEDLES, "vt", "cwe", "fwe")
"""The sub-tasks that are made here. Those of questions need the documents of SQuAD and HotpotQA."""

CONTEXT = 4096
"""Tokens of a context unless the user says so: the shortest that RULER uses."""

LONGEST = 2**20
SHORTEST = dict.fromkeys(MADE, 256) | {"niah_multikey_2": 512, "niah_multikey_3": 512, "cwe": 512, "fwe": 512}
"""Fewest tokens of a context that its needles or words fit into."""

SAMPLES = 100
"""Samples of each sub-task that are made unless a number is asked for."""


def ruler(subtasks: tuple[str, ...], context: int, limit: int | None, seed: int) -> Iterator[Sample]:
    """Samples of some sub-tasks in turn, `limit` of them together; sample i does not depend on `limit`."""
    total = SAMPLES * len(subtasks) if limit is None else limit
    return (ruler_sample(subtasks[i % len(subtasks)], context, seed, i // len(subtasks)) for i in range(total))


def ruler_sample(subtask: str, context: int, seed: int, index: int) -> Sample:
    """One sample, the same for the same arguments everywhere.

    Its context has at most `context` tokens and at least 95 % of them. So that this does not depend on what is
    installed, they are o200k tokens as `freqq.data.o200k.estimate` has them: 4.8 characters each.
    """
    made = _made(subtask, random.Random(f"ruler/{subtask}/{context}/{seed}/{index}"), context)
    return as_sample(made, subtask, f"{subtask}_{context}_s{seed}-{index}", bin_of(context))


def as_sample(made: Made, subtask: str, id: str, bin: str) -> Sample:
    """A generated text as a sample without a look of its own."""
    return Sample(
        id=id,
        needles=0,
        bin=bin,
        bin_source="estimate",
        turns=(Turn("", made.context),),
        question=made.question,
        answer=answer(made.references, any_reference=False),
        prefix="",
        references=made.references,
        subtask=subtask,
    )


def characters(tokens: int) -> int:
    """The most characters that `freqq.data.o200k.estimate` counts as so many tokens, and one less against rounding."""
    return int(tokens * BYTES_PER_TOKEN) - 1


def _made(subtask: str, rng: random.Random, context: int) -> Made:
    room = characters(context)
    if subtask == "cwe":
        return common_words(subtask, rng, room, context)
    if subtask == "fwe":
        return frequent_words(subtask, rng, room, context)
    return (variables if subtask == "vt" else needles)(subtask, rng, room)


def check_context(subtasks: tuple[str, ...], context: int) -> None:
    """Refuse a length that a sub-task's needles do not fit into, or that is beyond any model.

    Raises
    ------
    UserError
        It names the shortest and longest.
    """
    shortest = max(SHORTEST[subtask] for subtask in subtasks)
    if not shortest <= context <= LONGEST:
        what = subtasks[0] if len(subtasks) == 1 else "RULER's tasks"
        raise UserError(f"--context {context}: {what} can be made with {shortest} to {LONGEST:,} tokens")
