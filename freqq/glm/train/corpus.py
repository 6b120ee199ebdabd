"""Training pages and batches: pages of one size with labels for everything on them, and packed questions."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from freqq.data.mini import (
    CELL as CHARACTER,
)
from freqq.data.mini import (
    FORMATS,
    MOST_TOKENS,
    ORDINALS,
    SPARSE,
    TOPICS,
    TRAINING_PAIRS,
    Exchange,
    answer_text,
    margins,
    near_pair,
    random_prefix,
    request,
)
from freqq.glm.train.architecture import ASSISTANT, CELL, CHARACTERS, END, ORDINAL_TOKENS, TOKEN
from freqq.pages.atlas import atlas
from freqq.pages.draw import draw
from freqq.pages.page import Line, Page
from freqq.pages.render import wrap
from freqq.pages.style import Style

SLOTS = CELL // CHARACTER
"""Characters that fit across a merged token."""

QUESTION, ANSWER = 26, 34
BLOCK = QUESTION + ANSWER
"""Most tokens of a packed question and answer; a batch is cut to its longest."""

MAX_EXCHANGES, MAX_ORDINAL = 12, 8
REPEATS, LATE_REPEATS = (1, 1, 2, 4, 8), (1, 2, 4, 8)
"""How much more frequent one pair of a chat is than the others, at first and in the last steps."""

CHARACTER_ID = {c: i for i, c in enumerate(CHARACTERS)}
SPACE = CHARACTER_ID[" "]


@dataclass(frozen=True)
class Shape:
    """Page geometry of a batch, in merged tokens."""

    pages: int
    rows: int
    columns: int


@dataclass
class Batch:
    """B samples of V = pages * rows * columns tokens each, with K questions of T tokens.

    ``pixels`` uint8 [B, pages, H, W]; ``characters`` [B, V, SLOTS] ids of each slot's character (space if blank);
    ``exchange`` [B, V] index of the exchange that a token shows, or -1; ``asks`` bool [B, V] whether it shows the
    request; ``offset`` [B, V] position in its message of a token's first character, or -1;
    ``facts`` [B, MAX_EXCHANGES, 3] format, topic, ordinal - 1 of each exchange, or -100; ``tokens`` [B, K, T];
    ``labels`` [B, K, T] next token or -100; ``source`` [B, K, T] the visual token that shows the next character, or -1;
    ``wanted`` [B, K] the exchange in question.
    """

    shape: Shape
    pixels: Tensor
    characters: Tensor
    exchange: Tensor
    asks: Tensor
    offset: Tensor
    facts: Tensor
    tokens: Tensor
    labels: Tensor
    source: Tensor
    wanted: Tensor


def random_shape(rng: random.Random, largest: int, large: float = 0.5) -> Shape:
    """One to three pages of 6 to 10 by 4 to 14 tokens, at most `largest` tokens in total.

    With probability `large` the larger of two draws, because a chat with many equal requests needs space.
    """
    draws: list[Shape] = []
    while len(draws) < 2:
        shape = Shape(rng.choice((1, 1, 2, 2, 3)), rng.randint(4, 14), rng.randint(6, 10))
        if 36 <= shape.pages * shape.rows * shape.columns <= largest:
            draws.append(shape)
    return max(draws, key=lambda s: s.pages * s.rows * s.columns) if rng.random() < large else draws[0]


def random_style(rng: random.Random, shape: Shape) -> Style:
    """A random style of `mini` for a given page size."""
    values = margins(rng, shape.columns, rng.random() < SPARSE)
    return Style().with_overrides(values | {"width": CELL * shape.columns, "height": CELL * shape.rows})


def random_exchange(rng: random.Random, base: list[tuple[str, str]], counts: dict[tuple[str, str], int]) -> Exchange:
    """Another exchange of a chat about the pairs in `base`."""
    pair = rng.choice([p for p in base if counts.get(p, 0) < MAX_ORDINAL])
    counts[pair] = counts.get(pair, 0) + 1
    return Exchange(pair, counts[pair], answer_text(rng, test=False, pseudo=rng.random() < 0.5))


def random_pairs(rng: random.Random, repeats: tuple[int, ...] = REPEATS) -> list[tuple[str, str]]:
    """Two to five similar pairs, which share a format or a topic.

    The first one is repeated in the list, so that high ordinals are not rare.
    """
    pairs = [rng.choice(TRAINING_PAIRS)]
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
        other = near_pair(rng, rng.choice(pairs), TRAINING_PAIRS)
        if other not in pairs:
            pairs.append(other)
    return [pairs[0]] * rng.choice(repeats) + pairs[1:]


@dataclass
class Sheet:
    """The layout of one sample: lines by page, their origin (message, start), and the chat."""

    pages: list[list[Line]]
    origin: list[list[tuple[int, int]]]
    chat: list[Exchange]
    messages: list[str]


def fill(rng: random.Random, shape: Shape, style: Style, most: int, repeats: tuple[int, ...] = REPEATS) -> Sheet:
    """Write exchanges until the pages are full or `most` are reached, or (with probability 0.2) fewer."""
    glyphs = atlas(style.font, style.font_size, hinted=True)
    width = style.width - style.margin_left - style.margin_right
    bottom = style.height - style.margin_bottom
    sheet = Sheet([[] for _ in range(shape.pages)], [[] for _ in range(shape.pages)], [], [])
    base = random_pairs(rng, repeats)
    counts: dict[tuple[str, str], int] = {}
    most = rng.randint(2, most) if rng.random() < 0.2 else most
    page, top = 0, style.margin_top
    while len(sheet.chat) < most and any(counts.get(p, 0) < MAX_ORDINAL for p in base):
        exchange = random_exchange(rng, base, counts)
        placed: list[tuple[int, Line, tuple[int, int]]] = []
        for role, text in (("user", request(exchange.pair)), ("assistant", exchange.answer)):
            message, start = style.label(role, text), 0
            if top > style.margin_top:
                top += style.paragraph_gap
            for line in wrap(message, width, glyphs):
                if top + style.line_height > bottom:
                    page, top = page + 1, style.margin_top
                start = message.index(line, start)
                placed.append(
                    (page, Line(style.margin_left, top, line), (len(sheet.messages) + (role != "user"), start))
                )
                start += len(line)
                top += style.line_height
        if page >= shape.pages:
            break
        for where, written, origin in placed:
            sheet.pages[where].append(written)
            sheet.origin[where].append(origin)
        sheet.chat.append(exchange)
        sheet.messages += [style.label("user", request(exchange.pair)), style.label("assistant", exchange.answer)]
    return sheet


def question_tokens(prefix: str, exchange: Exchange) -> list[int]:
    """The tokens of the question and the assistant marker."""
    text = [
        TOKEN["Prepend "],
        *(TOKEN[c] for c in prefix),
        TOKEN[" to the "],
        TOKEN[ORDINAL_TOKENS[exchange.ordinal - 1]],
    ]
    text += [TOKEN[c] for c in exchange.pair[0]] + [TOKEN[" about "]] + [TOKEN[c] for c in exchange.pair[1]]
    return [*text, TOKEN[". Do not include any other text in your response."], ASSISTANT]


def build_batch(
    rng: random.Random,
    shape: Shape,
    size: int,
    questions: int,
    most: int = MAX_EXCHANGES,
    repeats: tuple[int, ...] = REPEATS,
) -> Batch:
    """A batch of `size` samples with `questions` questions each."""
    cells = shape.rows * shape.columns
    total = shape.pages * cells
    batch = Batch(
        shape,
        torch.zeros(size, shape.pages, CELL * shape.rows, CELL * shape.columns, dtype=torch.uint8),
        torch.full((size, total, SLOTS), SPACE),
        torch.full((size, total), -1),
        torch.zeros(size, total, dtype=torch.bool),
        torch.full((size, total), -1),
        torch.full((size, MAX_EXCHANGES, 3), -100),
        torch.full((size, questions, BLOCK), END),
        torch.full((size, questions, BLOCK), -100),
        torch.full((size, questions, BLOCK), -1),
        torch.zeros(size, questions, dtype=torch.long),
    )
    for b in range(size):
        sheet, style = some_sheet(rng, shape, most, repeats)
        places: list[dict[int, int]] = [{} for _ in sheet.messages]
        for p, lines in enumerate(sheet.pages):
            batch.pixels[b, p] = torch.from_numpy(draw(tuple(lines), style).pixels)
            for line, (message, start) in zip(lines, sheet.origin[p], strict=True):
                _mark(batch, b, p, line, message, start, places[message])
        for e, exchange in enumerate(sheet.chat):
            facts = (FORMATS.index(exchange.pair[0]), TOPICS.index(exchange.pair[1]), exchange.ordinal - 1)
            batch.facts[b, e] = torch.tensor(facts)
        order = list(range(len(sheet.chat)))
        rng.shuffle(order)
        for k in range(questions):
            e = order[k % len(order)]
            batch.wanted[b, k] = e
            label = len(style.assistant_label)
            _ask(rng, batch, b, k, sheet.chat[e], places[2 * e + 1], label)
    used = int((batch.labels >= 0).flatten(0, 1).any(0).nonzero().max()) + 1
    batch.tokens, batch.labels, batch.source = (x[..., :used] for x in (batch.tokens, batch.labels, batch.source))
    return batch


def some_sheet(rng: random.Random, shape: Shape, most: int, repeats: tuple[int, ...]) -> tuple[Sheet, Style]:
    """A chat that fills pages of a size, and their style; with probability 0.1 the last page may be empty."""
    while True:
        style = random_style(rng, shape)
        sheet = fill(rng, shape, style, most, repeats)
        if sheet.chat and (sheet.pages[-1] or rng.random() < 0.1):
            return sheet, style


def _mark(batch: Batch, b: int, page: int, line: Line, message: int, start: int, places: dict[int, int]) -> None:
    """Label every token that a line crosses; `places` maps a character's position to its token."""
    shape = batch.shape
    row = int((line.top + CELL // 2) // CELL)
    if row >= shape.rows:
        return
    base = (page * shape.rows + row) * shape.columns
    for k, character in enumerate(line.text):
        centre = line.x + (k + 0.5) * CHARACTER
        column = int(centre // CELL)
        cell, slot = base + column, int((centre - column * CELL) // CHARACTER)
        batch.characters[b, cell, slot] = CHARACTER_ID[character]
        batch.exchange[b, cell] = message // 2
        batch.asks[b, cell] = message % 2 == 0
        if batch.offset[b, cell] < 0:
            batch.offset[b, cell] = start + k
        places[start + k] = cell


def _ask(
    rng: random.Random, batch: Batch, b: int, k: int, exchange: Exchange, places: dict[int, int], label: int
) -> None:
    prefix = random_prefix(rng)
    question = question_tokens(prefix, exchange)
    response = [TOKEN[c] for c in prefix + exchange.answer] + [END]
    tokens = question + response[:-1]
    at = len(question) - 1
    batch.tokens[b, k, : len(tokens)] = torch.tensor(tokens)
    batch.labels[b, k, at : at + len(response)] = torch.tensor(response)
    cell = -1
    for j in range(len(exchange.answer)):
        cell = places.get(label + j, cell)  # a space at a line's end belongs to the line's last token
        batch.source[b, k, at + len(prefix) + j] = cell


def training_sheets(seed: int = 0) -> Iterator[tuple[Sheet, Style]]:
    """Endless chats of the training split, laid out, with their own random stream.

    Like training, they share no pair in question and no answer with evaluation.
    """
    for i in count():
        rng = random.Random(f"train/codebook/{seed}/{i}")
        yield some_sheet(rng, random_shape(rng, MOST_TOKENS), MAX_EXCHANGES, REPEATS)


def training_pages(seed: int = 0) -> Iterator[Page]:
    """The pages of `training_sheets`."""
    for sheet, style in training_sheets(seed):
        for lines in sheet.pages:
            yield draw(tuple(lines), style)


assert len(ORDINALS) == MAX_ORDINAL
