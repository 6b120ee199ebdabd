"""Pages in Glyph's look with what can be asked about them, and where each answer stands: chats and RULER's needles.

Chats share with `freqq.data.mini_glyph` what training does: no asked pair and no answer of evaluation.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from freqq.data.mini import FORMATS, TOPICS, Exchange, is_held_out, request
from freqq.data.mini_glyph import sentence_text
from freqq.data.ruler.contexts import needles
from freqq.data.sample import Sample, Turn, context
from freqq.glm.train.architecture import ASSISTANT, CELL, END, TOKEN
from freqq.glm.train.corpus import MAX_ORDINAL, question_tokens, random_pairs
from freqq.glm.train.small.aloud import GIVEN, MIDDLE, START
from freqq.glm.train.small.model import ENTRIES, NEEDLE_QUESTION
from freqq.glm.train.small.sheets import COLUMNS, ROWS, STRETCH, look, placed
from freqq.pages.glyph_pages import paint_blocks
from freqq.pages.pagination import flow

NEEDLES = ("niah_single_1", "niah_single_2", "niah_multikey_1")
LABEL = len("Assistant: ")
MOST_EXCHANGES = 16
FROM_START = 0.3
"""Of the texts that are read aloud, how many begin where the first page does."""
BEGINNING, ENDING = 3, 5
"""Tokens of an answer that count as its beginning, and characters at the end of a request: then its topic is known."""


@dataclass(frozen=True)
class Question:
    """A question's tokens up to the answer, what is said before the answer, and the answer's place in the text."""

    tokens: tuple[int, ...]
    prefix: str
    start: int
    stop: int
    exchange: int = -1


@dataclass(frozen=True)
class Source:
    """A text, what can be asked of it, and of a chat its exchanges with the places of their requests and answers."""

    text: str
    questions: tuple[Question, ...]
    chat: tuple[Exchange, ...] = ()
    requests: tuple[tuple[int, int], ...] = ()
    answers: tuple[tuple[int, int], ...] = ()


def chat(rng: random.Random, room: int, usual: int) -> Source:
    """A chat of at most about `room` characters, with answers of usually `usual`; each of its answers can be asked."""
    base = random_pairs(rng, (1, 2, 4, 8))
    counts: dict[tuple[str, str], int] = {}
    made: list[Exchange] = []
    size = 0
    while len(made) < MOST_EXCHANGES:
        open_pairs = [pair for pair in base if counts.get(pair, 0) < MAX_ORDINAL]
        if not open_pairs:
            break
        pair = rng.choice(open_pairs)
        answer = sentence_text(rng, test=False, usual=usual)
        size += len(request(pair)) + len(answer) + LABEL + len("User: ") + 2
        if size > room and len(made) >= 2:
            break
        counts[pair] = counts.get(pair, 0) + 1
        made.append(Exchange(pair, counts[pair], answer))
    turns = [turn for e in made for turn in (Turn("user", request(e.pair)), Turn("assistant", e.answer))]
    text = context(Sample("", 0, "", tuple(turns), "", "", ""))
    asks, spans, at = [], [], 0
    for exchange in made:
        at += len("User: ")
        asks.append((at, at + len(request(exchange.pair))))
        at += len(f"{request(exchange.pair)}\nAssistant: ")
        spans.append((at, at + len(exchange.answer)))
        at += len(exchange.answer) + 1
    assert all(text[a:b] == e.answer for (a, b), e in zip(spans, made, strict=True))
    questions = []
    for i, (exchange, (start, stop)) in enumerate(zip(made, spans, strict=True)):
        prefix = "".join(rng.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=6))
        questions.append(Question(tuple(question_tokens(prefix, exchange)), prefix, start, stop, i))
    return Source(text, tuple(questions), tuple(made), tuple(asks), tuple(spans))


def haystack(rng: random.Random, room: int) -> Source:
    """A text of RULER's with one number to find, or one of four; the number is none of evaluation's."""
    while True:
        made = needles(rng.choice(NEEDLES), rng, room)
        (value,) = made.references
        if not is_held_out(value):
            break
    start = made.context.index(f"is: {value}.") + len("is: ")
    tokens = []
    rest = made.question
    key = made.question.removeprefix(NEEDLE_QUESTION[0]).split(NEEDLE_QUESTION[1])[0]
    for part in (NEEDLE_QUESTION[0], key, NEEDLE_QUESTION[1], key, NEEDLE_QUESTION[2]):
        assert rest.startswith(part)
        rest = rest[len(part) :]
        tokens += [ENTRIES.index(part)] if part in NEEDLE_QUESTION else [TOKEN[c] for c in part]
    question = Question((*tokens, ASSISTANT), " ", start, start + len(value))
    return Source(made.context, (question,))


@dataclass(frozen=True)
class Asked:
    """S samples of P pages of one size, V = P rows columns tokens together, with K questions of T tokens each.

    ``pixels`` uint8 [S P, H, W]; ``tokens``, ``labels`` int64 [S, K, T], the label the next token or -100; ``cell``,
    ``slot`` [S, K, T]: where the next character stands (-1 and -100 where it stands nowhere); ``facts`` [S, E, 3]:
    format, topic and ordinal - 1 of each exchange, or -100; ``wanted`` [S, K]: the exchange that is asked for, or -1;
    ``requests``, ``answers``, ``beginnings`` bool [S, E, V]: the tokens that show an exchange's request, those behind
    its end that show its answer, and the first of these.
    """

    pixels: NDArray[np.uint8]
    pages: int
    rows: int
    columns: int
    tokens: Tensor
    labels: Tensor
    cell: Tensor
    slot: Tensor
    facts: Tensor
    wanted: Tensor
    requests: Tensor
    answers: Tensor
    beginnings: Tensor


@dataclass(frozen=True)
class Drawn:
    """A text on pages: ``pixels`` [P, H, W], and each character's token and slot in it, -1 where it is not drawn."""

    pixels: NDArray[np.uint8]
    cell: NDArray[np.int64]
    slot: NDArray[np.int64]


def drawn(rng: random.Random, text: str, dpi: float, pages: int, rows: int, columns: int) -> Drawn | None:
    """A text on pages of rows x columns cells, resampled as the image processor would; None if it needs more."""
    width, height = CELL * columns, CELL * rows
    stretch = [1 + rng.uniform(-STRETCH, STRETCH) if rng.random() < 0.7 else 1.0 for _ in range(2)]
    drawn_width, drawn_height = (round(side / s) for side, s in zip((width, height), stretch, strict=True))
    config = look(dpi, drawn_width, drawn_height, rng.uniform(0, 10), rng.uniform(0, 10))
    shown = []
    for blocks in flow(text, config):
        shown.append(blocks)
        if len(shown) > pages:
            return None
    pixels = np.full((pages, height, width), 255, np.uint8)
    cell, slot = (np.full(len(text), -1) for _ in range(2))
    at = 0
    for page, blocks in enumerate(shown):
        painted = paint_blocks(blocks, config)
        if painted.shape != (height, width):
            painted = np.asarray(Image.fromarray(painted).resize((width, height), Image.Resampling.BICUBIC))
        pixels[page] = painted
        for run in placed(blocks, config, (width / drawn_width, height / drawn_height)):
            for character, c in zip(run.text, run.column, strict=True):
                while text[at] != character:
                    if text[at] not in " \n":
                        raise AssertionError(f"{text[at]!r} of {text!r} is not on its page")
                    at += 1
                cell[at] = (page * rows + run.row // ROWS) * columns + c // COLUMNS
                slot[at] = (run.row % ROWS) * COLUMNS + c % COLUMNS
                at += 1
    return Drawn(pixels, cell, slot)


@dataclass(frozen=True)
class Size:
    """Of a batch: resolution, pages and their cells, and about how long answers are."""

    dpi: float
    pages: int
    rows: int
    columns: int
    usual: int = 110

    @property
    def room(self) -> int:
        """About how many characters its pages hold."""
        point = 72 / self.dpi
        wide, high = CELL * self.columns * point - 28, CELL * self.rows * point - 26
        return int(self.pages * max(1, high // 10) * wide / 5.6)


def asked(
    rng: random.Random, size: Size, count: int, questions: int, whole: float, ruler: float, reading: float = 0.0
) -> Asked:
    """A batch of `count` samples.

    Parameters
    ----------
    questions : int
        Of each sample; RULER's texts have one, and it is asked that often.
    whole : float
        Share of the answers that are asked for to their end; the others stop after 12 to 32 characters, since what
        comes then is reading aloud.
    ruler : float
        Share of the samples that are RULER's rather than chats.
    reading : float
        Share of the questions that ask for the text instead: from the first page's start, or from anywhere.
    """
    made = [_one(rng, size, rng.random() < ruler) for _ in range(count)]
    total = size.pages * size.rows * size.columns
    blocks = []
    for source, page in made:
        order = list(range(len(source.questions)))
        rng.shuffle(order)
        for k in range(questions):
            question = source.questions[order[k % len(order)]]
            cut = None if rng.random() < whole else rng.randint(12, 32)
            if rng.random() < reading:
                question, cut = _aloud(rng, source.text), rng.randint(30, 60)
            blocks.append(_block(source, page, question, cut))
    longest = max(len(block[0]) for block in blocks)
    shape = (count, questions, longest)
    tokens, labels, cell, slot = (torch.full(shape, fill).flatten(0, 1) for fill in (END, -100, -1, -100))
    for i, block in enumerate(blocks):
        for into, values in zip((tokens, labels, cell, slot), block[:4], strict=True):
            into[i, : len(values)] = torch.tensor(values)
    facts = torch.full((count, MOST_EXCHANGES, 3), -100)
    requests, answers, beginnings = (torch.zeros(count, MOST_EXCHANGES, total, dtype=torch.bool) for _ in range(3))
    for s, (source, page) in enumerate(made):
        for e, (exchange, asks, (start, stop)) in enumerate(
            zip(source.chat, source.requests, source.answers, strict=True)
        ):
            facts[s, e] = torch.tensor(
                (FORMATS.index(exchange.pair[0]), TOPICS.index(exchange.pair[1]), exchange.ordinal - 1)
            )
            ends = _cells(page, asks[1] - ENDING, asks[1])
            # A token shows parts of two lines, so an answer may begin on one that is read before its request ends.
            follow = [cell for cell in _cells(page, start, stop) if cell > max(ends, default=-1)]
            requests[s, e, _cells(page, *asks)] = True
            answers[s, e, follow] = True
            beginnings[s, e, follow[:BEGINNING]] = True
    return Asked(
        np.concatenate([page.pixels for _, page in made]),
        size.pages,
        size.rows,
        size.columns,
        *(x.view(shape) for x in (tokens, labels, cell, slot)),
        facts,
        torch.tensor([block[4] for block in blocks]).view(count, questions),
        requests,
        answers,
        beginnings,
    )


def _one(rng: random.Random, size: Size, ruler: bool) -> tuple[Source, Drawn]:
    room = size.room
    while True:
        source = haystack(rng, max(room, 300)) if ruler else chat(rng, room, size.usual)
        page = drawn(rng, source.text, size.dpi, size.pages, size.rows, size.columns)
        if page is not None:
            return source, page
        room = int(room * 0.85)
        ruler = ruler and room >= 200  # a needle needs so much


def _aloud(rng: random.Random, text: str) -> Question:
    """The request to read a text aloud, or one that begins anywhere in it, whose first characters are given."""
    if rng.random() < FROM_START:
        return Question(START, "", 0, len(text))
    start = rng.randrange(len(text) - GIVEN)
    given = [TOKEN[c] for c in text[start : start + GIVEN]]
    return Question((*MIDDLE, *given), "", start + GIVEN, len(text))


def _block(
    source: Source, page: Drawn, question: Question, cut: int | None
) -> tuple[list[int], list[int], list[int], list[int], int]:
    """Tokens, labels, cells and slots of a question and its answer, and the exchange that is asked for."""
    stop = question.stop if cut is None else min(question.stop, question.start + cut)
    ends = stop == question.stop
    said = [TOKEN[c] for c in question.prefix + source.text[question.start : stop]] + [END] * ends
    first = len(question.tokens) - 1
    tokens = [*question.tokens, *said[:-1]]
    labels = [-100] * first + said
    places = range(question.start, stop)
    before = first + len(question.prefix)
    cell = [-1] * before + [int(page.cell[i]) for i in places] + [-1] * ends
    slot = [-100] * before + [int(page.slot[i]) if page.slot[i] >= 0 else -100 for i in places] + [-100] * ends
    return tokens, labels, cell, slot, question.exchange


def _cells(page: Drawn, start: int, stop: int) -> Sequence[int]:
    """The tokens that show some characters, in the order of reading."""
    return list(dict.fromkeys(int(c) for c in page.cell[start:stop] if c >= 0))
