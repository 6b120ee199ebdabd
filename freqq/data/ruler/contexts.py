"""RULER's contexts and questions: needles and variables in a haystack, and words to count; all of it ASCII."""

import math
import random
import string
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise

from freqq.data.mini import WORDS
from freqq.data.tasks.ruler import FORMS

NOISE = ("The grass is green.", "The sky is blue.", "The sun is yellow.", "Here we go.", "There and back again.")
"""RULER's repeated sentences."""

JOINING = "a and as at but by for from in is it like near not of on or over so that the then this to under was with"
"""Short words between those of `WORDS`, so that an essay looks like prose."""

_CONSONANTS, _VOWELS = "bcdfghjklmnpqrstvwxz", "aeiouy"
_JOINING = tuple(JOINING.split())


def invented_word(rng: random.Random, shortest: int = 4, longest: int = 8) -> str:
    """Consonants and vowels in turn: a word that cannot be guessed."""
    start = rng.randrange(2)
    letters = rng.randint(shortest, longest)
    return "".join(rng.choice(_VOWELS if (i + start) % 2 else _CONSONANTS) for i in range(letters))


def key(rng: random.Random) -> str:
    """What a needle is found by, such as ``amber-nudoke``: two words, as in RULER, the second of them invented."""
    return f"{rng.choice(WORDS)}-{invented_word(rng, 3, 6)}"


def number(rng: random.Random) -> str:
    """Seven digits."""
    return str(rng.randint(10**6, 10**7 - 1))


def identifier(rng: random.Random) -> str:
    """A UUID of version 4."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def distinct(make: Callable[[random.Random], str], rng: random.Random, taken: set[str]) -> str:
    """A value that is not in `taken`, to which it is added."""
    while (made := make(rng)) in taken:
        pass
    taken.add(made)
    return made


def noise(room: int) -> Iterator[str]:
    """Lines of `NOISE` that fit into `room` characters, a line break behind each; the last may have fewer sentences."""
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
    """Sentences that fit into `room` characters, a space behind each; the last is cut to fit."""
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
"""Assignments behind the first of a chain of variables."""


@dataclass(frozen=True)
class Made:
    """A generated sample: what stands on the pages, what is asked, and what the answer has to hold."""

    context: str
    question: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Needles:
    """A kind of needle task; the values are those of RULER's ``synthetic.yaml``.

    Parameters
    ----------
    haystack : str
        ``noise``: repeated sentences, ``essay``: prose without a number, ``needle``: needles of other keys.
    keys, values, queries : int
        Keys with a needle, values of each, and keys that are asked for.
    key, value : callable
        How they are made.
    value_name : str
        What a value is called.
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


def needles(subtask: str, rng: random.Random, room: int) -> Made:
    """A context of at most `room` characters that hides the needles of a sub-task.

    No two needles have the same key or the same value, those of the haystack included, so that there is one answer.
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
    asked = rng.sample(keys, spec.queries)
    query = f"{', '.join(asked[:-1])}, and {asked[-1]}" if len(asked) > 1 else asked[0]
    fields = {"value": spec.value_name, "values": f"{spec.value_name}s", "query": query}
    return Made(
        joint.join(hide(rng, sentences, haystack)),
        FORMS[subtask].ask(**fields),
        tuple(value for name in asked for value, _ in hidden[name]),
    )


def hide(rng: random.Random, sentences: Sequence[str], haystack: Sequence[str]) -> Iterator[str]:
    """The haystack with the sentences at random places in it, in their order."""
    places = sorted(rng.choices(range(len(haystack) + 1), k=len(sentences)))
    start = 0
    for place, sentence in zip(places, sentences, strict=True):
        yield from haystack[start:place]
        yield sentence
        start = place
    yield from haystack[start:]


def variables(subtask: str, rng: random.Random, room: int) -> Made:
    """A chain of variables in a context of at most `room` characters: a value, and names that it is handed on to."""
    taken: set[str] = set()
    names = [distinct(_variable, rng, taken) for _ in range(HOPS + 1)]
    value = str(rng.randrange(10_000, 100_000))
    chain = [f"VAR {names[0]} = {value}", *(f"VAR {b} = VAR {a}" for a, b in pairwise(names))]
    room -= sum(len(statement) + 1 for statement in chain) - 1
    context = "\n".join(hide(rng, chain, list(noise(room))))
    return Made(context, FORMS[subtask].ask(query=value, count=len(names)), tuple(names))


def _variable(rng: random.Random) -> str:
    return "".join(rng.choices(string.ascii_uppercase, k=5))


COMMON = 10
LONG = 4096
"""Tokens from which on words are repeated as often as RULER repeats them; in shorter lists they are repeated less."""

DOTS = "..."
"""What stands in place of a coded text's most frequent word."""

FREQUENT = 3
ALPHA = 2.0
ZETA = math.pi**2 / 6
"""Riemann's zeta function at `ALPHA`: the k-th word has a share of k^-ALPHA / ZETA."""

TOKENS_A_WORD = 50
"""A coded text of n tokens has n / 50 different words."""


def common_words(subtask: str, rng: random.Random, room: int, tokens: int) -> Made:
    """A numbered list of at most `room` characters: ten words 30 times each, the others 3 times.

    In a list that is shorter than `LONG` it is 6 times and once, as in RULER.
    """
    often, seldom = (30, 3) if tokens >= LONG else (6, 1)
    taken: set[str] = set()
    common = [distinct(invented_word, rng, taken) for _ in range(COMMON)]
    words = common * often
    room -= sum(map(len, words)) + _numbering(0, len(words)) - 1
    while True:
        other = distinct(invented_word, rng, taken)
        room -= seldom * len(other) + _numbering(len(words), seldom)
        if room < 0:
            break
        words += [other] * seldom
    rng.shuffle(words)
    context = " ".join(f"{i}. {word}" for i, word in enumerate(words, 1))
    return Made(context, FORMS[subtask].ask(), tuple(common))


def _numbering(before: int, count: int) -> int:
    """Characters of the numbers of further words, their full stops, and the two spaces that each word takes."""
    return sum(len(str(i)) + 3 for i in range(before + 1, before + count + 1))


def frequent_words(subtask: str, rng: random.Random, room: int, tokens: int) -> Made:
    """A text of at most `room` characters of made-up words whose frequencies follow a zeta distribution."""
    taken: set[str] = set()
    words = [DOTS, *(distinct(_coded, rng, taken) for _ in range(tokens // TOKENS_A_WORD - 1))]
    low, high = 0, room  # a text of `room` words is too long
    while high - low > 1:
        middle = (low + high) // 2
        if _length(words, middle) <= room:
            low = middle
        else:
            high = middle
    text = [word for rank, word in enumerate(words, 1) for _ in range(_count(rank, low))]
    rng.shuffle(text)
    return Made(" ".join(text), FORMS[subtask].ask(), tuple(words[1 : FREQUENT + 1]))


def _count(rank: int, total: int) -> int:
    return int(total * rank**-ALPHA / ZETA)


def _length(words: list[str], total: int) -> int:
    return sum(_count(rank, total) * (len(word) + 1) for rank, word in enumerate(words, 1)) - 1


def _coded(rng: random.Random) -> str:
    return "".join(rng.choices(string.ascii_lowercase, k=6))
