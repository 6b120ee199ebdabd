"""RULER's words to count: ten that are common in a numbered list, three that are frequent in a coded text."""

import math
import random
import string

from freqq.data.ruler.needles import Made
from freqq.data.ruler.texts import distinct, invented_word
from freqq.data.tasks.ruler import FORMS

COMMON = 10
LONG = 4096
"""Tokens from which on words are repeated as often as RULER repeats them; in shorter lists they are repeated less."""

NOISE = "..."
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
    words = [NOISE, *(distinct(_coded, rng, taken) for _ in range(tokens // TOKENS_A_WORD - 1))]
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
