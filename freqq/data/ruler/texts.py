"""What RULER's contexts are made of: invented words, repeated sentences, essays of no meaning; all of it ASCII."""

import random
import uuid
from collections.abc import Callable, Iterator
from itertools import cycle

from freqq.data.words import WORDS

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
    """One that is not `taken`, which it then is."""
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
