"""RULER's contexts and questions: needles and variables in a haystack, and words to count. All ASCII."""

import math
import random
import string
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, pairwise

from freqq.data.mini import WORDS, pseudo_word
from freqq.data.tasks.ruler import FORMS

NOISE = ("The grass is green.", "The sky is blue.", "The sun is yellow.", "Here we go.", "There and back again.")
"""RULER's repeated sentences."""

JOINING = "a and as at but by for from in is it like near not of on or over so that the then this to under was with"
"""Function words between those of `WORDS`, so that an essay looks like prose."""

_JOINING = tuple(JOINING.split())


def key(rng: random.Random) -> str:
    """The key of a needle, such as ``amber-nudoke``: two words, as in RULER; the second is invented."""
    return f"{rng.choice(WORDS)}-{pseudo_word(rng)}"


def number(rng: random.Random) -> str:
    """Seven digits."""
    return str(rng.randint(10**6, 10**7 - 1))


def identifier(rng: random.Random) -> str:
    """A UUID of version 4."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def distinct(make: Callable[[random.Random], str], rng: random.Random, taken: set[str]) -> str:
    """A value that is not yet in `taken`; adds it there."""
    while (value := make(rng)) in taken:
        pass
    taken.add(value)
    return value


def noise(room: int) -> Iterator[str]:
    """Lines of `NOISE` that fit into `room` characters with their line breaks; the last may be shorter."""
    line: list[str] = []
    for sentence in cycle(NOISE):
        if len(sentence) >= room:
            break
        line.append(sentence)
        room -= len(sentence) + 1
        if len(line) == len(NOISE):
            yield " ".join(line)
            line = []
    if line:
        yield " ".join(line)


def essay(rng: random.Random, room: int) -> Iterator[str]:
    """Sentences that fit into `room` characters with a space after each; the last is cut to fit."""
    while room > 0:
        words: list[str] = []
        for i in range(rng.randint(7, 16)):
            words.append(rng.choice(_JOINING if i % 2 else WORDS))
        sentence = f"{' '.join(words).capitalize()}."
        if len(sentence) >= room:
            sentence = f"{sentence[: max(0, room - 2)].rpartition(' ')[0]}."
            if len(sentence) > 1:
                yield sentence
            return
        yield sentence
        room -= len(sentence) + 1


NEEDLE = "One of the special magic {values} for {key} is: {value}."
HOPS = 4
"""Assignments after the first in a chain of variables."""


@dataclass(frozen=True)
class Generated:
    """A generated context, its question, and the strings that an answer has to contain."""

    context: str
    question: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Needles:
    """A kind of needle task, with the values of RULER's ``synthetic.yaml``.

    Parameters
    ----------
    haystack : str
        ``noise``: repeated sentences; ``essay``: prose without numbers; ``needle``: needles with other keys.
    keys, values, queries : int
        Keys with needles, values per key, and keys in the question.
    key, value : callable
        Generators of keys and values.
    value_name : str
        The word for a value in the text.
    """

    haystack: str
    keys: int = 1
    values: int = 1
    queries: int = 1
    key: Callable[[random.Random], str] = key
    value: Callable[[random.Random], str] = number
    value_name: str = "number"


NEEDLES: dict[str, Needles] = {
    "niah_single_1": Needles("noise"),
    "niah_single_2": Needles("essay"),
    "niah_single_3": Needles("essay", value=identifier, value_name="uuid"),
    "niah_multikey_1": Needles("essay", keys=4),
    "niah_multikey_2": Needles("needle"),
    "niah_multikey_3": Needles("needle", key=identifier, value=identifier, value_name="uuid"),
    "niah_multivalue": Needles("essay", values=4),
    "niah_multiquery": Needles("essay", keys=4, queries=4),
}


def needles(subtask: str, rng: random.Random, room: int) -> Generated:
    """A context of at most `room` characters that hides the needles of a sub-task.

    All needles, including those of the haystack, have distinct keys and values, so that the answer is unique.
    """
    spec = NEEDLES[subtask]
    taken: set[str] = set()

    def needle(name: str) -> tuple[str, str]:
        value = distinct(spec.value, rng, taken)
        return value, NEEDLE.format(values=f"{spec.value_name}s", key=name, value=value)

    keys = [distinct(spec.key, rng, taken) for _ in range(spec.keys)]
    hidden = {name: [needle(name) for _ in range(spec.values)] for name in keys}
    sentences = [sentence for found in hidden.values() for _, sentence in found]
    rng.shuffle(sentences)
    room -= sum(len(sentence) + 1 for sentence in sentences) - 1

    def others() -> Iterator[str]:
        left = room
        while True:
            _, sentence = needle(distinct(spec.key, rng, taken))
            left -= len(sentence) + 1
            if left < 0:
                return
            yield sentence

    if spec.haystack == "needle":
        haystack, joint = list(others()), "\n"
    elif spec.haystack == "noise":
        haystack, joint = list(noise(room)), "\n"
    else:
        haystack, joint = list(essay(rng, room)), " "
    queried = rng.sample(keys, spec.queries)
    query = f"{', '.join(queried[:-1])}, and {queried[-1]}" if len(queried) > 1 else queried[0]
    fields = {"value": spec.value_name, "values": f"{spec.value_name}s", "query": query}
    return Generated(
        joint.join(hide(rng, sentences, haystack)),
        FORMS[subtask].ask(**fields),
        tuple(value for name in queried for value, _ in hidden[name]),
    )


def hide(rng: random.Random, sentences: Sequence[str], haystack: Sequence[str]) -> Iterator[str]:
    """The haystack with the sentences inserted at random places, in their order."""
    places = sorted(rng.choices(range(len(haystack) + 1), k=len(sentences)))
    start = 0
    for place, sentence in zip(places, sentences, strict=True):
        yield from haystack[start:place]
        yield sentence
        start = place
    yield from haystack[start:]


def variables(subtask: str, rng: random.Random, room: int) -> Generated:
    """A chain of variable assignments in a context of at most `room` characters."""
    taken: set[str] = set()
    names = [distinct(_variable, rng, taken) for _ in range(HOPS + 1)]
    value = str(rng.randrange(10_000, 100_000))
    chain = [f"VAR {names[0]} = {value}", *(f"VAR {b} = VAR {a}" for a, b in pairwise(names))]
    room -= sum(len(statement) + 1 for statement in chain) - 1
    context = "\n".join(hide(rng, chain, list(noise(room))))
    return Generated(context, FORMS[subtask].ask(query=value, count=len(names)), tuple(names))


def _variable(rng: random.Random) -> str:
    return "".join(rng.choices(string.ascii_uppercase, k=5))


COMMON = 10
LONG = 4096
"""Tokens. Shorter lists repeat their words less often, as in RULER."""

DOTS = "..."
"""Replaces the most frequent word of a coded text."""

FREQUENT = 3
ALPHA = 2.0
ZETA = math.pi**2 / 6
"""Riemann's zeta function at `ALPHA`: the share of the k-th word is k^-ALPHA / ZETA."""

TOKENS_PER_WORD = 50
"""A coded text of n tokens has n / 50 different words."""


def common_words(subtask: str, rng: random.Random, room: int, tokens: int) -> Generated:
    """A numbered list of at most `room` characters: ten words 30 times each, the others 3 times.

    In a list shorter than `LONG`: 6 times and once, as in RULER.
    """
    often, seldom = (30, 3) if tokens >= LONG else (6, 1)
    taken: set[str] = set()
    word = partial(pseudo_word, shortest=4, longest=8)
    common = [distinct(word, rng, taken) for _ in range(COMMON)]
    words = common * often
    room -= sum(map(len, words)) + _numbering(0, len(words)) - 1
    while True:
        other = distinct(word, rng, taken)
        room -= seldom * len(other) + _numbering(len(words), seldom)
        if room < 0:
            break
        words += [other] * seldom
    rng.shuffle(words)
    context = " ".join(f"{i}. {word}" for i, word in enumerate(words, 1))
    return Generated(context, FORMS[subtask].ask(), tuple(common))


def _numbering(before: int, count: int) -> int:
    """Characters of the numbers of `count` more words, with a full stop and two spaces each."""
    return sum(len(str(i)) + 3 for i in range(before + 1, before + count + 1))


def frequent_words(subtask: str, rng: random.Random, room: int, tokens: int) -> Generated:
    """A text of at most `room` characters of coded words with frequencies of a zeta distribution."""
    taken: set[str] = set()
    words = [DOTS, *(distinct(_coded, rng, taken) for _ in range(tokens // TOKENS_PER_WORD - 1))]
    low, high = 0, room  # a text of `room` words is too long
    while high - low > 1:
        middle = (low + high) // 2
        if _length(words, middle) <= room:
            low = middle
        else:
            high = middle
    text = [word for rank, word in enumerate(words, 1) for _ in range(_count(rank, low))]
    rng.shuffle(text)
    return Generated(" ".join(text), FORMS[subtask].ask(), tuple(words[1 : FREQUENT + 1]))


def _count(rank: int, total: int) -> int:
    return int(total * rank**-ALPHA / ZETA)


def _length(words: list[str], total: int) -> int:
    return sum(_count(rank, total) * (len(word) + 1) for rank, word in enumerate(words, 1)) - 1


def _coded(rng: random.Random) -> str:
    return "".join(rng.choices(string.ascii_lowercase, k=6))
