"""The data of an adapter: pages, and questions about them with their answers."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from freqq.data.dataset import DataSet
from freqq.data.mini import MOST_TOKENS, Exchange, question, random_prefix
from freqq.data.mini import REVISION as MINI_REVISION
from freqq.data.mini_glyph import REVISION as GLYPH_REVISION
from freqq.data.mini_glyph import USUAL, page_size
from freqq.data.sample import Sample
from freqq.errors import UserError
from freqq.glm.adapter_card import is_held_out
from freqq.glm.train.corpus import MAX_EXCHANGES, REPEATS, random_shape, some_sheet
from freqq.glm.train.small.chats import ROOM, chat, turns
from freqq.pages.draw import draw
from freqq.pages.page import Page
from freqq.runs.rendering import Rendering


@dataclass(frozen=True)
class Question:
    """A question, its answer, and the random string that the answer starts with."""

    text: str
    answer: str
    prefix: str


@dataclass(frozen=True)
class Example:
    """Pages, and one or more questions about them."""

    pages: tuple[Page, ...]
    questions: tuple[Question, ...]


Examples: TypeAlias = Callable[[int], Example]
"""The i-th example, the same at each call."""


@dataclass(frozen=True)
class TrainingData:
    """Training examples, and `held_out_size` others for validation.

    `freqq eval` uses neither of them for `mini`; for a file, it warns about samples that were trained on.
    """

    train: Examples
    held_out: Examples
    held_out_size: int
    data: str
    data_revision: str


def mini_data(seed: int, questions: int, held_out_size: int) -> TrainingData:
    """Endless examples of `mini`'s training split, `questions` to a chat.

    Training and evaluation share no random stream, requested (format, topic) pair or answer; see `freqq.data.mini`.
    """

    def examples(kind: str) -> Examples:
        return lambda i: _mini_example(random.Random(f"adapt/{kind}/{seed}/{i}"), questions)

    return TrainingData(examples("train"), examples("held out"), held_out_size, "mini", MINI_REVISION)


def _mini_example(rng: random.Random, questions: int) -> Example:
    sheet, style = some_sheet(rng, random_shape(rng, MOST_TOKENS, 1.0), MAX_EXCHANGES, REPEATS)
    pages = tuple(draw(tuple(lines), style) for lines in sheet.pages)
    chosen = [rng.choice(sheet.chat) for _ in range(questions)]
    return Example(pages, tuple(_asked(rng, exchange) for exchange in chosen))


def glyph_data(seed: int, questions: int, held_out_size: int, rendering: Rendering) -> TrainingData:
    """As `mini_data`, of `mini` in Glyph's look: the chats that `small` was trained on, drawn as is asked for."""

    def examples(kind: str) -> Examples:
        return lambda i: _glyph_example(random.Random(f"adapt/glyph/{kind}/{seed}/{i}"), questions, rendering)

    return TrainingData(examples("train"), examples("held out"), held_out_size, "mini", GLYPH_REVISION)


def _glyph_example(rng: random.Random, questions: int, rendering: Rendering) -> Example:
    source = chat(rng, rng.randint(*ROOM), USUAL)
    width, height = page_size(rng, len(source.text))
    sample = Sample("", 0, "", turns(source.chat), "", "", "", config={"page-size": f"{width},{height}"})
    chosen = [rng.choice(source.chat) for _ in range(questions)]
    return Example(tuple(rendering.pages(sample)), tuple(_asked(rng, exchange) for exchange in chosen))


def _asked(rng: random.Random, exchange: Exchange) -> Question:
    """A question for an exchange's answer, with a random string."""
    prefix = random_prefix(rng)
    return Question(question(prefix, exchange.ordinal, exchange.pair), prefix + exchange.answer, prefix)


def file_data(
    data: DataSet, needles: Sequence[int], bins: Sequence[str], rendering: Rendering, seed: int
) -> TrainingData:
    """Examples of a data set of files, one question each, in a new random order in each epoch.

    Raises
    ------
    UserError
        If no sample is left for training or for validation.
    """
    samples = [s for count in needles for s in data.samples(count, bins=bins)]
    held_out = [s for s in samples if is_held_out(s.id)]
    train = [s for s in samples if not is_held_out(s.id)]
    if not train or not held_out:
        raise UserError(
            f"{data.name} has {len(train)} samples for training and {len(held_out)} for validation, and needs "
            "at least one of each: give more data, or other --needle and --bin"
        )

    def example(sample: Sample) -> Example:
        question = Question(sample.question, sample.answer, sample.prefix)
        return Example(tuple(rendering.pages(sample)), (question,))

    def shuffled(i: int) -> Example:
        epoch, place = divmod(i, len(train))
        order = random.Random(f"adapt/{seed}/{epoch}").sample(range(len(train)), len(train))
        return example(train[order[place]])

    return TrainingData(shuffled, lambda i: example(held_out[i]), len(held_out), data.name, data.revision)
