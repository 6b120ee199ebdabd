"""Texts for pages in Glyph's look and what can be asked about them: chats and RULER's needles.

Chats share with `freqq.data.mini_glyph` what training does: no asked pair and no answer of evaluation.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count

from freqq.data.mini import TRAINING_PAIRS, Exchange, Pair, is_held_out, near_pair, request
from freqq.data.mini_glyph import USUAL, page_size, sentence_text
from freqq.data.ruler.contexts import needles
from freqq.data.sample import Sample, Turn, context
from freqq.glm.train.architecture import ASSISTANT, TOKEN
from freqq.glm.train.corpus import MAX_ORDINAL, question_tokens, random_pairs
from freqq.glm.train.small.model import ENTRIES, NEEDLE_QUESTION
from freqq.glm.train.small.sheets import DPIS
from freqq.pages.glyph import GlyphConfig
from freqq.pages.glyph_pages import render_glyph
from freqq.pages.page import Page

NEEDLES = ("niah_single_1", "niah_single_2", "niah_multikey_1")
LABEL = len("Assistant: ")
MOST_EXCHANGES = 16
REQUEST = 50
"""About how many characters a request has with both labels."""
ROOM = (300, 2000)
"""Least and most characters of a text of `training_pages`, about."""


@dataclass(frozen=True)
class Question:
    """A question's tokens up to the answer, what is said before the answer, and the answer's place in the text.

    Of a chat also which exchange is asked for, and which of the tokens end the format and the topic and are the
    ordinal.
    """

    tokens: tuple[int, ...]
    prefix: str
    start: int
    stop: int
    exchange: int = -1
    parts: tuple[int, int, int] = (-1, -1, -1)


@dataclass(frozen=True)
class Source:
    """A text, what can be asked of it, and of a chat its exchanges with the places of their requests and answers."""

    text: str
    questions: tuple[Question, ...]
    chat: tuple[Exchange, ...] = ()
    requests: tuple[tuple[int, int], ...] = ()
    answers: tuple[tuple[int, int], ...] = ()


def turns(exchanges: Iterable[Exchange]) -> tuple[Turn, ...]:
    """What is said in exchanges, in order."""
    return tuple(turn for e in exchanges for turn in (Turn("user", request(e.pair)), Turn("assistant", e.answer)))


def chat(rng: random.Random, room: int, usual: int) -> Source:
    """A chat of at most about `room` characters, with answers of usually `usual`; each of its answers can be asked."""
    counts: dict[tuple[str, str], int] = {}
    made: list[Exchange] = []
    size = 0
    for pair in _requests(rng, round(room / (usual + REQUEST))):
        answer = sentence_text(rng, test=False, usual=usual)
        size += len(request(pair)) + len(answer) + LABEL + len("User: ") + 2
        if size > room and len(made) >= 2:
            break
        counts[pair] = counts.get(pair, 0) + 1
        made.append(Exchange(pair, counts[pair], answer))
    text = context(Sample("", 0, "", turns(made), "", "", ""))
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
        ordinal = len(prefix) + 2  # behind two phrases of one token each
        form = ordinal + len(exchange.pair[0])
        parts = (form, form + 1 + len(exchange.pair[1]), ordinal)
        questions.append(Question(tuple(question_tokens(prefix, exchange)), prefix, start, stop, i, parts))
    return Source(text, tuple(questions), tuple(made), tuple(asks), tuple(spans))


def _requests(rng: random.Random, fitting: int) -> list[Pair]:
    """What is asked of a chat that has room for about `fitting` exchanges, in order.

    Every other chat repeats its requests as MRCR with two needles does, once at most; the others more often.
    """
    if rng.random() < 0.5:
        base = random_pairs(rng, (1, 1, 2, 4, 8))
        pairs = [rng.choice(base) for _ in range(MOST_EXCHANGES)]
        return [pair for i, pair in enumerate(pairs) if pairs[:i].count(pair) < MAX_ORDINAL]
    needle = rng.choice(TRAINING_PAIRS)
    pairs = [needle] * 2
    while len(pairs) < min(fitting, MOST_EXCHANGES):
        other = near_pair(rng, needle, TRAINING_PAIRS)
        if other not in pairs:
            pairs += [other] * rng.choice((1, 1, 2))
    rng.shuffle(pairs)
    return pairs[:MOST_EXCHANGES]


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


def training_texts(seed: int = 0) -> Iterator[Source]:
    """Chats and haystacks in turns, without end, to learn a codebook of tokens from."""
    for i in count():
        rng = random.Random(f"train/small/codebook/{seed}/{i}")
        room = rng.randint(*ROOM)
        yield haystack(rng, room) if i % 2 else chat(rng, room, USUAL)


def training_pages(seed: int = 0) -> Iterator[Page]:
    """The pages of `training_texts` in Glyph's look, each text at one of the resolutions of training."""
    for i, source in enumerate(training_texts(seed)):
        rng = random.Random(f"train/small/codebook/page/{seed}/{i}")
        width, height = page_size(rng, len(source.text))
        config = replace(GlyphConfig(), page_size=(float(width), float(height)), dpi=rng.choice(DPIS))
        yield from render_glyph(source.text, config)
