"""RULER's needles and variables: sentences that are put at random places into a haystack."""

import random
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from freqq.data.ruler.texts import distinct, essay, identifier, key, noise, number
from freqq.data.tasks.ruler import FORMS

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
