"""A data set: samples by needle count and bin, in one order."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import inf

from freqq.data.bins import bin_of, upper_edge
from freqq.data.draws import Drawn, Stratum, chosen
from freqq.data.o200k import count, estimate
from freqq.data.sample import Sample
from freqq.data.transcribe import transcribe
from freqq.errors import UserError
from freqq.names import unknown

TASKS = ("mrcr", "transcribe")


@dataclass(frozen=True)
class Skipped:
    """A file of a folder that was left out, by its name there, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class DataSet:
    """Where samples come from.

    Parameters
    ----------
    name : str
        What the user called it: a name or a path.
    format : str
        ``mini``, or one of `freqq.data.formats`.
    revision : str
        Changes whenever the samples would: the hub's commit, or a digest of the files.
    needles : tuple of int
        The needle counts that it has, ascending; 0 for chats that hide none.
    task : str
        ``mrcr``: answer the sample's question; ``transcribe``: read the pages back.
    draw : callable
        ``draw(needles, limit, seed)`` gives the samples of a needle count (None: of all) anew at each call, in the
        same order, at least `limit` of them if there are so many. `seed` is for data that are made rather than read.
    generated : bool
        Whether samples are made rather than read, as many as are asked for.
    skipped : tuple of Skipped
        Files of the folder that are no part of it.
    """

    name: str
    format: str
    revision: str
    needles: tuple[int, ...]
    task: str
    draw: Callable[[int | None, int | None, int], Iterator[Sample]]
    generated: bool = False
    skipped: tuple[Skipped, ...] = ()

    def samples(
        self, needles: int | None = None, limit: int | None = None, seed: int = 0, bins: Collection[str] = ()
    ) -> Iterator[Sample]:
        """The first samples of a needle count and of some bins, or of all; one sample is held at a time.

        Sample i does not depend on `limit`. A sample's bin is computed here unless the data state it.

        Raises
        ------
        UserError
            If a record is damaged, or two have the same id.
        """
        found = (self._finished(sample) for sample in self._matching(needles, limit, seed, bins))
        return islice(found, limit)

    def drawn(self, needles: int, limit: int, seed: int, bins: Collection[str] = ()) -> Drawn:
        """A sample of a needle count, and of some bins, that keeps the bins' shares; all if there are not more.

        A smaller `limit` draws a subset. The order is that of the data, and so is a choice on any machine: strata are
        the bins that the data state, or else those of the texts' estimated lengths, for counting tokens takes minutes
        and needs a download. Data that are made give the first `limit` of the stream that `seed` names. What is read
        is read once if all of it is taken, else twice, and at most `limit` samples are held.

        Raises
        ------
        UserError
            If a record is damaged, or two have the same id.
        """
        if self.generated:
            return Drawn(tuple(self.samples(needles, limit, seed, bins)))
        strata: dict[str, str] = {}
        held: list[Sample] = []
        for sample in self._matching(needles, None, seed, bins):
            strata[sample.id] = _stratum(sample)
            if len(strata) <= limit:
                held.append(sample)
            else:
                held.clear()
        ids = chosen(strata, limit, seed)
        if len(ids) < len(strata):
            held = [sample for sample in self._read(needles, None, seed) if sample.id in ids]
        there, taken = Counter(strata.values()), Counter(strata[id] for id in ids)
        return Drawn(
            tuple(map(self._finished, held)),
            tuple(Stratum(needles, name, taken[name], there[name]) for name in sorted(there)),
        )

    def _read(self, needles: int | None, limit: int | None, seed: int) -> Iterator[Sample]:
        seen: set[str] = set()
        for sample in self.draw(needles, limit, seed):
            if needles not in (None, sample.needles):
                continue
            if sample.id in seen:
                raise UserError(f"{self.name}: the id {sample.id!r} occurs twice; give each sample its own")
            seen.add(sample.id)
            yield sample

    def _matching(self, needles: int | None, limit: int | None, seed: int, bins: Collection[str]) -> Iterator[Sample]:
        if not bins:
            return self._read(needles, limit, seed)
        most = upper_edge(bins)
        found = (s if s.bin else binned(s, most) for s in self._read(needles, None, seed))
        return (sample for sample in found if sample.bin in bins)

    def _finished(self, sample: Sample) -> Sample:
        """A sample with its bin, for the task."""
        found = sample if sample.bin else binned(sample)
        return transcribe(found) if self.task == "transcribe" else found

    def with_task(self, task: str) -> "DataSet":
        """The same data for another task.

        Raises
        ------
        UserError
            If there is no such task, or it needs questions and the data have none.
        """
        if task not in TASKS:
            raise unknown("task", task, TASKS)
        if task == "mrcr" and self.format not in ("mini", "mrcr", "glyph"):
            raise UserError(f"--task mrcr: {self.name} has no questions and answers; use --task transcribe")
        return replace(self, task=task)


def binned(sample: Sample, most: float = inf) -> Sample:
    """A sample with its bin, from the tokens of prompt and answer as in the data card of `openai/mrcr`.

    Beyond `most` tokens counting stops: the bin is then one above that of `most`, but maybe not the right one.
    """
    tokens, source = count(_texts(sample), most)
    return replace(sample, bin=bin_of(tokens), bin_source=source)


def _stratum(sample: Sample) -> str:
    stated = sample.bin if sample.bin_source == "file" else ""
    return stated or bin_of(sum(map(estimate, _texts(sample))))


def _texts(sample: Sample) -> list[str]:
    return [*(turn.text for turn in sample.turns), sample.question, sample.answer]
