"""The data sets that an evaluation can draw from, by name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from freqq.data.mini import NEEDLES, REVISION, mini
from freqq.data.sample import Sample
from freqq.errors import UserError
from freqq.names import unknown


@dataclass(frozen=True)
class Source:
    """A data set.

    Parameters
    ----------
    samples : callable
        ``samples(needles, limit, seed)`` yields the samples of one needle count; the same ones for the same arguments.
    revision : str
        Changes whenever `samples` would yield others.
    needles : tuple of int
        The needle counts that it has.
    task : str
        What is asked and how it is graded.
    batch_size : int
        Samples that are read together unless the user says otherwise; without influence on the rows.
    max_new_tokens : int
        Longest response unless the user says otherwise. Glyph's protocol allows 8192 for MRCR.
    """

    samples: Callable[[int, int, int], Iterator[Sample]]
    revision: str
    needles: tuple[int, ...]
    task: str = "mrcr"
    batch_size: int = 1
    max_new_tokens: int = 8192


SOURCES = {"mini": Source(mini, REVISION, NEEDLES, batch_size=20, max_new_tokens=64)}


def source(name: str) -> Source:
    """The data set of a name; an unknown one is a `UserError` that suggests the nearest."""
    if name not in SOURCES:
        raise unknown("data", name, SOURCES)
    return SOURCES[name]


def check_needles(name: str, needles: tuple[int, ...]) -> None:
    """Refuse needle counts that a data set does not have."""
    known = source(name).needles
    for count in needles:
        if count not in known:
            raise UserError(f"--needle {count}: {name} has {', '.join(map(str, known))} needles")
