"""Scores of arms with their resamples: over all samples of a needle count and in each bin of context length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from freqq.report.order import bin_order
from freqq.report.results import Samples
from freqq.report.statistics import Resampled, macro, resample_all


@dataclass(frozen=True)
class Scored:
    """An arm's samples, and their scores resampled: together, and for each bin."""

    samples: Samples
    score: Resampled
    bins: Mapping[str, Resampled]

    @property
    def macro(self) -> Resampled:
        """The mean over the bins."""
        return macro(list(self.bins.values()))


def scored(parts: Sequence[Samples]) -> list[Scored]:
    """Some arms' samples with their scores."""
    bins = [bin_order(own.bins) for own in parts]
    pieces = [
        own.score if bin is None else own.score[own.bins == bin]
        for own, names in zip(parts, bins, strict=True)
        for bin in (None, *names)
    ]
    found = iter(resample_all(pieces))
    return [
        Scored(own, next(found), {bin: next(found) for bin in names}) for own, names in zip(parts, bins, strict=True)
    ]


def same(a: Samples, b: Samples) -> bool:
    """Whether two arms were asked the same, in the same bins."""
    return np.array_equal(a.ids, b.ids) and np.array_equal(a.bins, b.bins)


def pair(own: Scored, theirs: Scored) -> tuple[Scored, Scored]:
    """Both with the samples that both have, in the same order. Bins are those of the first."""
    if same(own.samples, theirs.samples):
        return own, theirs
    places = {id: i for i, id in enumerate(theirs.samples.ids)}
    at = np.array([i for i, id in enumerate(own.samples.ids) if id in places], np.int64)
    mine = own.samples.take(at)
    other = theirs.samples.take(np.array([places[id] for id in mine.ids], np.int64)).in_bins(mine.bins)
    first, second = scored([mine, other])
    return first, second
