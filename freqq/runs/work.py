"""What of a run is still to be done, and how it is dealt out."""

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from freqq.data.sample import Sample
from freqq.runs.parts import Key
from freqq.runs.plan import Arm

Todo = list[tuple[Arm, set[str]]]
"""For each arm the ids of the samples that it has to read."""


MOST_DEATHS = 2
"""So many workers may die on a sample that they have for themselves. After that it is given up."""


@dataclass(frozen=True)
class Batch:
    """Samples that are read together, and by which arms.

    Parameters
    ----------
    error : str or None
        Why they are not to be read at all; their rows say this.
    """

    samples: Sequence[Sample]
    todo: Todo
    error: str | None = None

    @property
    def rows(self) -> int:
        """How many rows it will give."""
        return sum(len(ids) for _, ids in self.todo)


@dataclass
class Work:
    """The samples of a shard that wait for some arm, longest first.

    Parameters
    ----------
    own : sequence of Sample
        All samples of the shard, longest first.
    arms : sequence of (Arm, config hash)
    done : set of keys
        Rows that are there.
    """

    own: Sequence[Sample]
    arms: Sequence[tuple[Arm, str]]
    done: AbstractSet[Key] = frozenset()
    _waiting: list[Sample] = field(init=False)
    _alone: list[Sample] = field(init=False, default_factory=list)
    _deaths: Counter[str] = field(init=False, default_factory=Counter)

    def __post_init__(self) -> None:
        # Taken from the end.
        self._waiting = [s for s in reversed(self.own) if self._missing(s)]

    def _missing(self, sample: Sample) -> bool:
        return any((sample.id, known_as) not in self.done for _, known_as in self.arms)

    def _batch(self, samples: Sequence[Sample]) -> Batch:
        todo = [(arm, {s.id for s in samples if (s.id, known_as) not in self.done}) for arm, known_as in self.arms]
        return Batch(samples, [(arm, ids) for arm, ids in todo if ids])

    @property
    def total(self) -> int:
        """Rows that the shard will have."""
        return len(self.own) * len(self.arms)

    @property
    def missing(self) -> int:
        """Rows of the waiting samples that are not there."""
        return self._batch([*self._waiting, *self._alone]).rows

    def __bool__(self) -> bool:
        return bool(self._waiting or self._alone)

    def take(self, most: int, workers: int = 1) -> Batch:
        """The next batch, of at most so many samples; smaller near the end, so that all workers end together.

        What was given up comes at the very end, as a batch that says so.
        """
        if not self._waiting:
            sample = self._alone.pop()
            deaths = self._deaths[sample.id]
            error = f"{deaths} workers died while they had only this sample: it may need more memory than there is"
            return replace(self._batch([sample]), error=error if deaths >= MOST_DEATHS else None)
        count = max(1, min(most, -(-len(self._waiting) // workers)))
        taken = [self._waiting.pop() for _ in range(min(count, len(self._waiting)))]
        return self._batch(taken)

    def put_back(self, batches: Sequence[Batch], done: AbstractSet[Key], last: Batch | None = None) -> int:
        """Take back the batches of a worker that died, and return how many of their rows are not in `done`.

        Their samples come last and one at a time: whichever of them it was that killed the worker, all others are
        answered before it is tried again.

        Parameters
        ----------
        last : Batch or None
            What the worker was at. If it is a single sample, that has one death more to answer for.
        """
        self.done = done
        lost = {s.id: s for batch in batches for s in batch.samples if self._missing(s)}
        if last is not None and len(last.samples) == 1:
            self._deaths[last.samples[0].id] += 1
        self._alone = [*reversed(lost.values()), *self._alone]
        # Taken from the end.
        self._alone.sort(key=lambda sample: -self._deaths[sample.id])
        return self._batch(list(lost.values())).rows
