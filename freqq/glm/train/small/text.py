"""Text to read: real words from what every Python brings along, and words, numbers and signs that nobody wrote.

The real words are those of the language reference and the standard library's docstrings (Python Software Foundation
License). A word belongs to the training or to the test split by its hash, so no word of an evaluation was ever shown in
training, alone or in a sentence.
"""

import hashlib
import random
import string
from functools import cache
from typing import Literal, TypeAlias

from freqq.data.pythontext import docstrings, reference

Split: TypeAlias = Literal["train", "test"]

CHARACTERS = "".join(chr(c) for c in range(32, 127))
"""What can be read: printable ASCII."""

HELD_OUT = 12
"""One word in so many is kept for evaluation."""

KINDS = ("sentences", "words", "invented", "digits", "signs")
SHARES = (30, 25, 25, 10, 10)
"""Kinds of passages, and how often each is drawn."""

ENDS = ".,;:?!"
WRAPS = ('"%s"', "'%s'", "(%s)", "[%s]", "%s's", "%s-", "*%s*", "<%s>")
_LETTERS = "etaoinshrdlcumwfgypbvkjxqz"
_WEIGHTS = [12.7, 9.1, 8.2, 7.5, 7, 6.7, 6.3, 6.1, 6, 4.3, 4, 2.8, 2.8, 2.4, 2.4, 2.2, 2, 2, 1.9, 1.5, 1, 1, 1, 1, 1, 1]


def split_of(word: str) -> Split:
    """The split of a word; case and punctuation around it do not matter."""
    bare = word.strip(string.punctuation).lower() or word
    return "test" if hashlib.sha256(bare.encode()).digest()[0] % HELD_OUT == 0 else "train"


@cache
def real_words(split: Split) -> tuple[str, ...]:
    """The real words of a split in the order in which they were written; what is not ASCII is left out."""
    words = (reference() + "\n" + docstrings()).split()
    return tuple(w for w in words if len(w) <= 24 and w.isascii() and w.isprintable() and split_of(w) == split)


def invented_word(rng: random.Random, split: Split) -> str:
    """A word that no language has, of the split that is asked for; sometimes a name, in capitals or with a mark."""
    while True:
        word = "".join(rng.choices(_LETTERS, _WEIGHTS, k=rng.randint(1, 11)))
        if split_of(word) == split:
            break
    kind = rng.random()
    if kind < 0.12:
        word = word.capitalize()
    elif kind < 0.18:
        word = word.upper()
    return marked(rng, word)


def marked(rng: random.Random, word: str) -> str:
    """A word with punctuation behind or around it, one time in six."""
    chance = rng.random()
    if chance < 0.11:
        return word + rng.choice(ENDS)
    return rng.choice(WRAPS) % word if chance < 0.16 else word


def number(rng: random.Random) -> str:
    """Digits, with the signs that stand in numbers, dates and prices."""
    body = "".join(rng.choices(string.digits, k=rng.randint(1, 6)))
    shape = rng.random()
    if shape < 0.3:
        body += rng.choice(".,:/-") + "".join(rng.choices(string.digits, k=rng.randint(1, 4)))
    return rng.choice(("", "", "", "$", "#", "-", "+")) + body + rng.choice(("", "", "", "%", ".", ",", ")"))


def signs(rng: random.Random) -> str:
    """Any printable characters beside each other, as in code and random prefixes."""
    alphabet = CHARACTERS[1:] if rng.random() < 0.5 else string.ascii_letters + string.digits
    return "".join(rng.choices(alphabet, k=rng.randint(2, 10)))


def passage(rng: random.Random, kind: str, count: int, split: Split) -> list[str]:
    """`count` words of a kind of `KINDS`."""
    if kind in ("sentences", "words"):
        words = real_words(split)
        if kind == "words":
            return [marked(rng, word) for word in rng.choices(words, k=count)]
        start = rng.randrange(len(words))
        return [words[(start + i) % len(words)] for i in range(count)]
    make = {"invented": lambda: invented_word(rng, split), "digits": lambda: number(rng), "signs": lambda: signs(rng)}
    return [make[kind]() for _ in range(count)]


def text(rng: random.Random, length: int, split: Split, kinds: tuple[str, ...] = KINDS) -> str:
    """At least `length` characters: passages of 3 to 25 words; one text in three has line breaks, as chats do."""
    breaks = rng.choice((0.0, 0.0, 0.15))
    shares = [SHARES[KINDS.index(kind)] for kind in kinds]
    parts: list[str] = []
    size = 0
    while size < length:
        (kind,) = rng.choices(kinds, shares)
        part = " ".join(passage(rng, kind, rng.randint(3, 25), split))
        parts += [part, "\n" if rng.random() < breaks else " "]
        size += len(part) + 1
    return "".join(parts)
