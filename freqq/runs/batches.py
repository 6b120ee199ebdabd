"""What of a run is still to be done, and in which batches."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import takewhile
from types import MappingProxyType

from freqq.data.sample import Sample
from freqq.runs.parts import Key
from freqq.runs.plan import Arm
from freqq.runs.suspects import given_up

Todo = list[tuple[Arm, set[str]]]
"""For each arm the ids of the samples that it has to read."""


@dataclass(frozen=True)
class Batch:
    """Samples that are read together, and by which arms."""

    samples: Sequence[Sample]
    todo: Todo

    @property
    def rows(self) -> int:
        """How many rows it will give."""
        return sum(len(ids) for _, ids in self.todo)


class Remaining:
    """The samples that still lack a row of some arm, in their order.

    Parameters
    ----------
    samples : sequence of Sample
        All samples; for batches that pad little, longest first.
    arms : sequence of (Arm, config hash)
    done : set of keys
        Rows that are there.
    suspects : mapping
        Ids of samples that processes died of, and how many at which arm (`freqq.runs.suspects.Suspects`). They come
        last and alone, those of the fewest deaths first; what is given up counts as done.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        arms: Sequence[tuple[Arm, str]],
        done: AbstractSet[Key] = frozenset(),
        suspects: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
    ) -> None:
        self.arms = arms
        self.total = len(samples) * len(arms)
        self._done = done = done | given_up(suspects, arms)
        lacking = [s for s in samples if any((s.id, known_as) not in done for _, known_as in arms)]
        # Whichever of the suspects it is that kills, all others are answered before it is tried again.
        self.samples = sorted(lacking, key=lambda s: sum(suspects[s.id].values()) if s.id in suspects else -1)
        self._suspects = suspects

    def __bool__(self) -> bool:
        return bool(self.samples)

    @property
    def is_usual(self) -> bool:
        """Whether the next batch may be begun while another is at work: a suspect is read alone."""
        return bool(self.samples) and self.samples[0].id not in self._suspects

    @property
    def missing(self) -> int:
        """Rows that are not there."""
        return self.batch(self.samples).rows

    def batch(self, samples: Sequence[Sample]) -> Batch:
        """Some samples with what each arm has to read of them."""
        todo = [(arm, {s.id for s in samples if (s.id, known_as) not in self._done}) for arm, known_as in self.arms]
        return Batch(samples, [(arm, ids) for arm, ids in todo if ids])

    def take(self, most: int) -> Batch:
        """The next batch, of at most so many samples, which do not remain."""
        usual = list(takewhile(lambda s: s.id not in self._suspects, self.samples[:most]))
        count = len(usual) or 1
        taken, self.samples = self.samples[:count], self.samples[count:]
        return self.batch(taken)


def control(samples: Sequence[Sample], arms: Sequence[tuple[Arm, str]], answered: AbstractSet[Key]) -> Batch | None:
    """The last of the samples with an answer of some arm, for that arm; None if there is none.

    A device that answers it once more works, so that a death on another sample after that may be the sample's fault.
    """
    for sample in reversed(samples):
        for arm, known_as in arms:
            if (sample.id, known_as) in answered:
                return Batch([sample], [(arm, {sample.id})])
    return None


def counter(remaining: Remaining, progress: Callable[[int, int], None]) -> Callable[[int], None]:
    """What counts rows that are added to those that are there, and reports how many there are of how many."""
    finished, total = remaining.total - remaining.missing, remaining.total

    def add(rows: int) -> None:
        nonlocal finished
        finished += rows
        progress(finished, total)

    return add
