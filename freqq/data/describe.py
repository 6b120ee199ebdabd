"""Statistics of a data set: counts and lengths."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from freqq.data.bins import estimate
from freqq.data.dataset import DataSet
from freqq.data.sample import Sample
from freqq.errors import UserError


@dataclass(frozen=True)
class Lengths:
    """Distribution of a length over the samples."""

    smallest: float
    median: float
    mean: float
    largest: float

    @classmethod
    def of(cls, values: Sequence[int]) -> "Lengths":
        """Of at least one value."""
        return cls(min(values), median(values), fmean(values), max(values))


@dataclass(frozen=True)
class Description:
    """A data set in numbers.

    Parameters
    ----------
    counts : mapping
        Samples by (needles, bin).
    bin_sources : tuple of str
        Where the bins come from, see `Sample.bin_source`.
    chat_characters : tuple of int
        Characters of each sample's turns.
    message_characters : tuple of int
        Characters of each turn of each sample.
    chat_messages : tuple of int
        Turns of each sample.
    chat_tokens : tuple of int
        Tokens of each sample's turns, by `freqq.data.bins.estimate`.
    example : Sample
        The first sample.
    """

    counts: Mapping[tuple[int, str], int]
    bin_sources: tuple[str, ...]
    chat_characters: tuple[int, ...]
    message_characters: tuple[int, ...]
    chat_messages: tuple[int, ...]
    chat_tokens: tuple[int, ...]
    example: Sample

    @property
    def lengths(self) -> dict[str, Lengths]:
        """Characters, messages and estimated tokens of a chat."""
        return {
            "characters": Lengths.of(self.chat_characters),
            "messages": Lengths.of(self.chat_messages),
            "tokens": Lengths.of(self.chat_tokens),
        }


Watch = Callable[[Iterable[Sample]], Iterable[Sample]]
"""Passes the samples through as they are read, and may report progress."""


def describe(data: DataSet, limit: int | None = None, watch: Watch = iter) -> Description:
    """Count over the first samples of each needle count, or all. One sample is held at a time.

    Raises
    ------
    UserError
        If there are no samples, or a record is damaged.
    """
    counts: Counter[tuple[int, str]] = Counter()
    sources: Counter[str] = Counter()
    messages: list[list[int]] = []
    tokens: list[int] = []
    example = None
    for sample in watch(sample for needles in data.needles for sample in data.samples(needles, limit)):
        example = example or sample
        counts[sample.needles, sample.bin] += 1
        sources[sample.bin_source or "file"] += 1
        messages.append([len(turn.text) for turn in sample.turns])
        tokens.append(sum(estimate(turn.text) for turn in sample.turns))
    if example is None:
        raise UserError(f"{data.name} has no samples")
    return Description(
        counts=dict(counts),
        bin_sources=tuple(sorted(sources)),
        chat_characters=tuple(map(sum, messages)),
        message_characters=tuple(length for chat in messages for length in chat),
        chat_messages=tuple(map(len, messages)),
        chat_tokens=tuple(tokens),
        example=example,
    )
