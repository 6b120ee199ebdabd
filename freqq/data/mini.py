"""The built-in data set `mini`: small MRCR chats, generated, on pages that the embedded model reads."""

import json
import random
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from zlib import crc32

from freqq.data.mrcr import sample_from_record
from freqq.data.sample import Sample
from freqq.errors import UserError

FORMATS = ("poem", "song", "joke", "tale", "memo", "note", "rant", "blog", "haiku", "story")

TOPICS = (
    "tapirs otters rivers clouds robots castles pirates gardens planets violins bridges dragons deserts candles "
    "lanterns penguins glaciers mushrooms trains spiders markets harbors islands comets turtles wizards forests "
    "museums pillows rockets sailors tunnels"
).split()

WORDS = (
    "apple amber angle arrow baker basin beach birch bloom brave brick broom cabin camel cedar chalk charm cliff cloak "
    "coral crane creek crown dance delta dough dream drift eagle earth ember fable faint feast fern field flame flint "
    "flock forge frost ghost giant glade gleam globe grain grape grove guard harp haven hazel heron honey horse house "
    "humble ivory jolly judge kettle knight label lemon light lilac linen lodge lunar maple marsh meadow mellow merry "
    "metal misty moon moss mouse night noble north oasis ocean olive onion orbit paint paper pearl petal piano pilot "
    "plain plume polar pond proud quartz quick quiet rapid raven reed ridge ripple rough royal rust saddle sage salt "
    "sand scarf shade shell silver slate sleepy smoke snow solar spark spice spoon spring stone storm straw sugar "
    "swift table tiger timber torch tower trail tulip valley velvet vivid wagon water whale wheat willow windy winter "
    "wolf woven yellow young zebra old red big sun sky sea oak elm fox owl bee ant hat jar key map pan rug tin van web "
    "zoo gem ice ink ivy"
).split()


REVISION = "mini-1"
"""Changes whenever the samples of a seed change."""

NEEDLES = (2, 4, 8)
EXCHANGES = {2: (4, 8), 4: (6, 10), 8: (10, 12)}
"""Fewest and most exchanges (request and answer) per chat, by needle count."""

ORDINALS = ("1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th")
ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
CELL, PITCH, TOKEN = 7, 28, 28
"""Width of a character and height of a line in `mini`'s font, and the side of a vision token, in pixels."""

SPARSE = 0.35
"""Share of the samples whose pages have large blank regions."""

MOST_TOKENS = 320
"""Vision tokens of the largest sample."""

Pair = tuple[str, str]


def is_held_out(text: str) -> bool:
    """Whether an answer belongs to the evaluation split (about one in two) rather than to training."""
    return crc32(text.encode()) % 2 == 0


HELD_OUT_PAIRS: tuple[Pair, ...] = tuple((f, t) for f in FORMATS for t in TOPICS if crc32(f"{f}/{t}".encode()) % 8 == 0)
TRAINING_PAIRS: tuple[Pair, ...] = tuple((f, t) for f in FORMATS for t in TOPICS if crc32(f"{f}/{t}".encode()) % 8 != 0)


@dataclass(frozen=True)
class Exchange:
    """A request for a text of a format about a topic, its number among equal requests (from 1), and the answer."""

    pair: Pair
    ordinal: int
    answer: str


def pseudo_word(rng: random.Random, shortest: int = 3, longest: int = 6) -> str:
    """Alternating consonants and vowels: a word that cannot be guessed."""
    start, letters = rng.randrange(2), rng.randint(shortest, longest)
    return "".join(rng.choice("aeiouy" if (i + start) % 2 else "bcdfghjklmnpqrstvwxz") for i in range(letters))


def answer_text(rng: random.Random, test: bool, pseudo: bool) -> str:
    """Words up to a random length of 12 to 26 characters and a full stop, in the split given by `test`."""
    while True:
        length = rng.randint(12, 26)
        text = rng.choice(WORDS) if not pseudo else pseudo_word(rng)
        while True:
            word = pseudo_word(rng) if pseudo else rng.choice(WORDS)
            if len(text) + 1 + len(word) > length:
                break
            text += " " + word
        if is_held_out(text + ".") == test:
            return text + "."


def near_pair(rng: random.Random, pair: Pair, pool: tuple[Pair, ...]) -> Pair:
    """A pair that shares its format or its topic with `pair` (with probability 0.7), or a random one."""
    while True:
        chance = rng.random()
        if chance < 0.35:
            other = (rng.choice(FORMATS), pair[1])
        elif chance < 0.7:
            other = (pair[0], rng.choice(TOPICS))
        else:
            other = rng.choice(pool)
        if other != pair and other in pool:
            return other


def exchanges(rng: random.Random, needles: int, test: bool, pseudo: float = 0.0) -> tuple[list[Exchange], Pair]:
    """A chat with `needles` equal requests among others, in random order, and the repeated pair."""
    pool = HELD_OUT_PAIRS + TRAINING_PAIRS if test else TRAINING_PAIRS
    needle = rng.choice(HELD_OUT_PAIRS if test else TRAINING_PAIRS)
    total = rng.randint(max(EXCHANGES[needles][0], needles + 1), EXCHANGES[needles][1])
    pairs = [needle] * needles
    while len(pairs) < total:
        other = near_pair(rng, needle, pool)
        pairs += [other] * min(rng.choice((1, 1, 2)), total - len(pairs))
    rng.shuffle(pairs)
    counts: dict[Pair, int] = {}
    chat = []
    for pair in pairs:
        counts[pair] = counts.get(pair, 0) + 1
        chat.append(Exchange(pair, counts[pair], answer_text(rng, test, rng.random() < pseudo)))
    return chat, needle


def margins(rng: random.Random, columns: int, sparse: bool) -> dict[str, float | str]:
    """Random margins for a page of `columns` tokens; sparse pages have blank lines and wide margins."""
    left = rng.randint(0, 3 + 5 * sparse)
    right = rng.randint(0, 1 + (columns > 6) * 3 * sparse)
    return {
        "margin_left": CELL * left,
        "margin_right": CELL * right,
        "margin_top": CELL * (1 + 2 * rng.randint(0, 1 + 2 * sparse)),
        "margin_bottom": 0,
        "font": "DejaVuSansMono",
        "font_size": 14336 / 1233,
        "line_height": 28,
        "paragraph_gap": rng.choice((0, 14, 28)) if sparse else 0,
        "user_label": "U: ",
        "assistant_label": "A: ",
    }


def pages_needed(lines: list[int], rows: int, style: dict[str, float | str]) -> int:
    """How many pages of `rows` tokens the messages fill, given each message's number of lines."""
    top = first = int(style["margin_top"])
    page = 1
    for count in lines:
        if top > first:
            top += int(style["paragraph_gap"])
        for _ in range(count):
            if top + PITCH > TOKEN * rows:
                page, top = page + 1, first
            top += PITCH
    return page


def page_style(rng: random.Random, messages: list[dict[str, str]]) -> dict[str, float | str]:
    """The style of one to three pages of one size that hold a chat; sparse ones have blank lines and wide margins."""
    while True:
        sparse = rng.random() < SPARSE
        columns = rng.randint(6, 10)
        style = margins(rng, columns, sparse)
        width = (TOKEN * columns - int(style["margin_left"]) - int(style["margin_right"])) // CELL
        labels = {"user": str(style["user_label"]), "assistant": str(style["assistant_label"])}
        lines = [len(textwrap.wrap(labels[m["role"]] + m["content"], width)) for m in messages]
        pages = rng.choice((1, 1, 1, 2, 2, 3))
        for rows in range(4, 15):
            if pages_needed(lines, rows, style) <= pages:
                rows += rng.randint(0, 2) * sparse
                if pages * rows * columns <= MOST_TOKENS and rows < 15:
                    return style | {"width": TOKEN * columns, "height": TOKEN * rows}
                break


def random_prefix(rng: random.Random) -> str:
    """The six letters or digits that a response has to begin with."""
    return "".join(rng.choice(ALPHANUMERIC) for _ in range(6))


def question(prefix: str, ordinal: int, pair: Pair) -> str:
    """The last user message, in MRCR's words."""
    wanted = f"{ORDINALS[ordinal - 1]} (1 indexed) {pair[0]} about {pair[1]}"
    return f"Prepend {prefix} to the {wanted}. Do not include any other text in your response."


def request(pair: Pair) -> str:
    """The user message that asks for a text."""
    return f"write a {pair[0]} about {pair[1]}"


def chat_record(rng: random.Random, chat: list[Exchange], pair: Pair) -> dict[str, object]:
    """A record of MRCR's official schema that asks for one of a chat's answers to `pair`."""
    ordinal = rng.randint(1, sum(exchange.pair == pair for exchange in chat))
    wanted = next(i for i, e in enumerate(chat) if e.pair == pair and e.ordinal == ordinal)
    prefix = random_prefix(rng)
    messages = []
    for exchange in chat:
        messages.append({"role": "user", "content": request(exchange.pair)})
        messages.append({"role": "assistant", "content": exchange.answer})
    messages.append({"role": "user", "content": question(prefix, ordinal, pair)})
    return {
        "prompt": json.dumps(messages),
        "answer": prefix + chat[wanted].answer,
        "random_string_to_prepend": prefix,
        "n_needles": sum(exchange.pair == pair for exchange in chat),
        "desired_msg_index": 2 * wanted + 1,
        "total_messages": len(messages),
        "n_chars": sum(len(m["content"]) for m in messages),
        "date_added": "2026-11-23",
    }


def mini(needles: int, limit: int = 100, seed: int = 0) -> Iterator[Sample]:
    """Samples of the evaluation split, see `generate`."""
    return generate("mini", _sample, needles, limit, seed)


def generate(
    name: str, sample: Callable[[random.Random, int, str], Sample], needles: int, limit: int, seed: int
) -> Iterator[Sample]:
    """Samples of a named generator. Deterministic; sample i does not depend on `limit`.

    Parameters
    ----------
    sample : callable
        ``sample(rng, needles, id)``.

    Raises
    ------
    UserError
        If `needles` is not 2, 4 or 8.
    """
    if needles not in NEEDLES:
        raise UserError(f"--needle {needles}: MRCR has 2, 4 and 8 needles")
    for i in range(limit):
        yield sample(random.Random(f"{name}/test/{needles}/{seed}/{i}"), needles, f"{name}_{needles}needle_s{seed}-{i}")


def _sample(rng: random.Random, needles: int, id: str) -> Sample:
    record = chat_record(rng, *exchanges(rng, needles, test=True))
    style = page_style(rng, json.loads(str(record["prompt"]))[:-1])
    return sample_from_record(record, id, "mini", style)
