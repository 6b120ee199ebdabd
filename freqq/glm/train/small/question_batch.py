"""Batches of pages in Glyph's look with what is asked about them, and where each answer stands."""

import random
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from freqq.data.mini import FORMATS, TOPICS
from freqq.glm.train.architecture import CELL, END, TOKEN
from freqq.glm.train.small.aloud import GIVEN, MIDDLE, START
from freqq.glm.train.small.chats import MOST_EXCHANGES, Question, Source, chat, haystack
from freqq.glm.train.small.page_text import PageText, cells, page_text
from freqq.glm.train.small.sheets import Written, joined

FROM_START = 0.3
"""Of the texts that are read aloud, how many begin where the first page does."""
BEGINNING, ENDING = 3, 5
"""Tokens of an answer that count as its beginning, and characters at the end of a request: then its topic is known."""
LEAD = len("write a ")
"""Characters of a request before its format."""
LONGEST_WHOLE = 64
"""Characters of an answer that is asked for to its end: a batch is as long as its longest."""


@dataclass(frozen=True)
class QuestionBatch:
    """S samples of P pages of one size, V = P rows columns tokens together, with K questions of T tokens each.

    ``pixels`` uint8 [S P, H, W]; ``tokens``, ``labels`` int64 [S, K, T], the label the next token or -100; ``cell``,
    ``slot`` [S, K, T]: where the next character stands (-1 and -100 where it stands nowhere); ``facts`` [S, E, 3]:
    format, topic and ordinal - 1 of each exchange, or -100; ``wanted`` [S, K]: the exchange that is asked for, or -1;
    ``parts`` [S, K, 3]: the tokens that end the format and the topic in a question and are its ordinal, or -1;
    ``formats``, ``topics``, ``answers``, ``beginnings`` bool [S, E, V]: the tokens that show an exchange's format and
    its topic, those behind its request that show its answer, and the first of these; ``written``: all pages' text.
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
    parts: Tensor
    formats: Tensor
    topics: Tensor
    answers: Tensor
    beginnings: Tensor
    written: Written


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


def question_batch(
    rng: random.Random, size: Size, count: int, questions: int, whole: float, ruler: float, reading: float = 0.0
) -> QuestionBatch:
    """A batch of `count` samples.

    Parameters
    ----------
    questions : int
        Of each sample; RULER's texts have one, and it is asked that often.
    whole : float
        Share of the short answers that are asked for to their end; the others stop after 16 to 60 characters, since
        what comes then is reading aloud.
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
            whole_one = question.stop - question.start <= LONGEST_WHOLE and rng.random() < whole
            cut = None if whole_one else rng.randint(16, 60)
            if rng.random() < reading:
                question, cut = _aloud(rng, source.text), rng.randint(30, 60)
            blocks.append(_block(source, page, question, cut))
    longest = max((len(block[0]) for block in blocks), default=1)
    shape = (count, questions, longest)
    tokens, labels, cell, slot = (torch.full(shape, fill).flatten(0, 1) for fill in (END, -100, -1, -100))
    for i, block in enumerate(blocks):
        for into, values in zip((tokens, labels, cell, slot), block[:4], strict=True):
            into[i, : len(values)] = torch.tensor(values)
    facts = torch.full((count, MOST_EXCHANGES, 3), -100)
    marks = [torch.zeros(count, MOST_EXCHANGES, total, dtype=torch.bool) for _ in range(4)]
    formats, topics, answers, beginnings = marks
    for s, (source, page) in enumerate(made):
        for e, (exchange, asks, (start, stop)) in enumerate(
            zip(source.chat, source.requests, source.answers, strict=True)
        ):
            facts[s, e] = torch.tensor(
                (FORMATS.index(exchange.pair[0]), TOPICS.index(exchange.pair[1]), exchange.ordinal - 1)
            )
            ends = cells(page, asks[1] - ENDING, asks[1])
            # A token shows parts of two lines, so an answer may begin on one that is read before its request ends.
            follow = [cell for cell in cells(page, start, stop) if cell > max(ends, default=-1)]
            formats[s, e, cells(page, asks[0] + LEAD, asks[0] + LEAD + len(exchange.pair[0]))] = True
            topics[s, e, cells(page, asks[1] - len(exchange.pair[1]), asks[1])] = True
            answers[s, e, follow] = True
            beginnings[s, e, follow[:BEGINNING]] = True
    return QuestionBatch(
        np.concatenate([page.pixels for _, page in made]),
        size.pages,
        size.rows,
        size.columns,
        *(x.view(shape) for x in (tokens, labels, cell, slot)),
        facts,
        torch.tensor([block[4] for block in blocks], dtype=torch.long).view(count, questions),
        torch.tensor([block[5] for block in blocks], dtype=torch.long).view(count, questions, 3),
        *marks,
        joined([page.written for _, page in made], size.pages),
    )


def _one(rng: random.Random, size: Size, ruler: bool) -> tuple[Source, PageText]:
    room = size.room
    while True:
        source = haystack(rng, max(room, 300)) if ruler else chat(rng, room, size.usual)
        page = page_text(rng, source.text, size.dpi, size.pages, size.rows, size.columns)
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
    source: Source, page: PageText, question: Question, cut: int | None
) -> tuple[list[int], list[int], list[int], list[int], int, tuple[int, int, int]]:
    """Tokens, labels, cells and slots of a question and its answer, the exchange that is asked for, and its parts."""
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
    return tokens, labels, cell, slot, question.exchange, question.parts
