"""A data set: samples by needle count and bin, in one order."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import inf

from freqq.data.bins import bin_of, upper_edge
from freqq.data.o200k import count
from freqq.data.sample import Sample
from freqq.data.transcribe import transcribe
from freqq.errors import UserError
from freqq.names import unknown

TASKS = ("mrcr", "transcribe")


@dataclass(frozen=True)
class DataSet:
    """Where samples come from.

    Parameters
    ----------
    name : str
        What the user called it: a name or a path.
    format : str
        ``mini``, ``mrcr``, ``glyph``, ``convbench``, ``chat`` or ``text``.
    revision : str
        Changes whenever the samples would: the hub's commit, or a digest of the files.
    needles : tuple of int
        The needle counts that it has, ascending; 0 for chats that hide none.
    task : str
        ``mrcr``: answer the sample's question; ``transcribe``: read the pages back.
    draw : callable
        ``draw(needles, limit, seed)`` gives the samples of a needle count (None: of all) anew at each call, in the
        same order, at least `limit` of them if there are so many. `seed` is for data that are made rather than read.
    """

    name: str
    format: str
    revision: str
    needles: tuple[int, ...]
    task: str
    draw: Callable[[int | None, int | None, int], Iterator[Sample]]

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
        return islice(self._matching(needles, limit, seed, bins), limit)

    def _matching(self, needles: int | None, limit: int | None, seed: int, bins: Collection[str]) -> Iterator[Sample]:
        most = upper_edge(bins)
        seen: set[str] = set()
        for sample in self.draw(needles, None if bins else limit, seed):
            if needles not in (None, sample.needles):
                continue
            if sample.id in seen:
                raise UserError(f"{self.name}: the id {sample.id!r} occurs twice; give each sample its own")
            seen.add(sample.id)
            found = sample if sample.bin else binned(sample, most)
            if not bins or found.bin in bins:
                yield transcribe(found) if self.task == "transcribe" else found

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
    tokens, source = count([*(turn.text for turn in sample.turns), sample.question, sample.answer], most)
    return replace(sample, bin=bin_of(tokens), bin_source=source)
