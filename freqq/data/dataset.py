"""A data set: samples by needle count and bin, in a fixed order."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from freqq.data.bins import bin_of, upper_edge
from freqq.data.draws import Drawn, Stratum, choose
from freqq.data.index import Counts, Entry, all_binned, binned, entries, entry_of
from freqq.data.packed import packed
from freqq.data.sample import Sample
from freqq.data.tasks import TASKS, names
from freqq.errors import UserError
from freqq.names import unknown

Draw = Callable[[int | None, int | None, int], Iterator[Sample]]
"""``draw(needles, limit, seed)``: the samples of a needle count (None: all), at least `limit` if there are that many,
in the same order at each call. Only generated data use `seed`."""


GENERATED_SAMPLES = 100
"""Default number of samples per generated sub-task."""


@dataclass(frozen=True)
class Maker:
    """A generator of data of any length.

    Parameters
    ----------
    revision : str
        Changes whenever the samples of a seed change.
    context : int
        Default tokens of a context.
    shortest : mapping
        The sub-tasks that it generates, and the fewest tokens of a context of each.
    longest : int
        The most tokens of a context.
    sample : callable
        ``sample(subtask, context, seed, index)``: deterministic, on every machine.
    """

    revision: str
    context: int
    shortest: Mapping[str, int]
    longest: int
    sample: Callable[[str, int, int, int], Sample]

    def draw(self, subtasks: Sequence[str], context: int) -> Draw:
        """Samples of some sub-tasks in turn, `limit` in total."""
        count = len(subtasks)

        def draw(needles: int | None, limit: int | None, seed: int) -> Iterator[Sample]:
            total = GENERATED_SAMPLES * count if limit is None else limit
            return (self.sample(subtasks[i % count], context, seed, i // count) for i in range(total))

        return draw


@dataclass(frozen=True)
class Skipped:
    """A file of a folder that was skipped, by its relative path, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class DataSet:
    """Where samples come from.

    Parameters
    ----------
    name : str
        What the user gave: a name or a path.
    format : str
        ``mini``, ``mini-glyph``, ``ruler``, ``ruler-mini``, or one of `freqq.data.formats`.
    revision : str
        Changes whenever the samples change: the hub's commit, or a digest of the files.
    needles : tuple of int
        The needle counts that occur, ascending; 0 for chats without needles.
    task : str
        A name of `freqq.data.tasks.TASKS`.
    draw : Draw
        Where the samples come from.
    generated : bool
        Whether samples are generated, any number of them, rather than read.
    skipped : tuple of Skipped
        Files of the folder that were not read.
    subtask : str
        Use only the samples of this sub-task; empty: all.
    maker : Maker, optional
        The generator of data of any length, which `draw` uses.
    context : int, optional
        Tokens of a context of such data; None: `Maker.context`.
    content : str
        Identifies the content of files and the names that ids are made of, as a key for cached facts about them
        (`freqq.data.index`); empty: nothing is cached.
    pick_ids : callable, optional
        ``pick_ids(needles, ids)`` yields the samples of some ids, and maybe others, where that is faster than `draw`.
    """

    name: str
    format: str
    revision: str
    needles: tuple[int, ...]
    task: str
    draw: Draw
    generated: bool = False
    skipped: tuple[Skipped, ...] = ()
    subtask: str = ""
    maker: Maker | None = None
    context: int | None = None
    content: str = ""
    pick_ids: Callable[[int, Collection[str]], Iterator[Sample]] | None = None

    @classmethod
    def from_maker(cls, name: str, maker: Maker) -> "DataSet":
        """Generated data of the task RULER, for all sub-tasks."""
        draw = maker.draw(list(maker.shortest), maker.context)
        return cls(name, name, maker.revision, (0,), "ruler", draw, generated=True, maker=maker)

    @property
    def own_look(self) -> bool:
        """Whether its samples fix the look of their pages, so that the user cannot choose it."""
        return self.format in ("mini", "ruler-mini")

    @property
    def small(self) -> bool:
        """Whether its chats are made for embedded models: few pages, answers of up to a few hundred characters."""
        return self.own_look or self.format in ("mini-glyph", "ruler-mini-glyph")

    def samples(
        self, needles: int | None = None, limit: int | None = None, seed: int = 0, bins: Collection[str] = ()
    ) -> Iterator[Sample]:
        """The first samples of a needle count and of some bins, or of all, one at a time.

        Sample i does not depend on `limit`. A sample's bin is computed unless the data state it.

        Raises
        ------
        UserError
            If a record is damaged, or two have the same id.
        """
        found = (self._finished(sample) for sample in self._matching(needles, limit, seed, bins))
        return islice(found, limit)

    def drawn(self, needles: int, limit: int, seed: int, bins: Collection[str] = ()) -> Drawn:
        """A random draw from a needle count and some bins that keeps the bins' shares; all if there are not more.

        A smaller `limit` draws a subset, in the order of the data. The draw is the same on any machine: strata are the
        bins that the data state or, failing that, those of the texts' estimated lengths (counting tokens takes minutes
        and needs a download). Generated data give the first `limit` samples of `seed`. Texts of files are not held in
        memory; `read` returns them.

        Raises
        ------
        UserError
            If a record is damaged, or two have the same id.
        """
        if self.generated:
            return Drawn(tuple(Entry(sample) for sample in self.samples(needles, limit, seed, bins)))
        task = TASKS[self.task]
        read = lambda: (entry_of(sample, task) for sample in self.draw(needles, None, seed))  # noqa: E731
        there = [e for e in entries(self.content, task.name, needles, read) if self._fits(e.bare, needles)]
        seen: set[str] = set()
        for entry in there:
            self._check_new(entry.bare.id, seen)
        if bins:
            binned_as = self._bins(needles, seed, there, upper_edge(bins))
            there = [entry for entry in there if binned_as[entry.bare.id] in bins]
        strata = {entry.bare.id: entry.stratum for entry in there}
        ids = choose(strata, limit, seed)
        counts, taken = Counter(strata.values()), Counter(strata[id] for id in ids)
        return Drawn(
            tuple(entry for entry in there if entry.bare.id in ids),
            tuple(Stratum(needles, name, taken[name], counts[name]) for name in sorted(counts)),
        )

    def read(self, drawn: Sequence[Entry]) -> list[Sample]:
        """The samples of some entries of `drawn`, in their order, each with its bin, for the task.

        Raises
        ------
        UserError
            If a record is damaged, or the data no longer have it.
        """
        found = {entry.bare.id: entry.bare for entry in drawn if entry.size is None}
        wanted, counts = {entry.bare.id for entry in drawn} - found.keys(), Counts(self.content)
        there = (
            sample
            for needles in sorted({entry.bare.needles for entry in drawn if entry.bare.id in wanted})
            for sample in self.pick(needles, wanted)
            if sample.id in wanted and self._fits(sample, needles)
        )
        for sample in all_binned(there, counts):
            asked = TASKS[self.task].ask(sample)
            found[sample.id] = replace(asked, turns=packed(asked.turns))
        counts.store()
        if lacking := wanted - found.keys():
            raise UserError(f"{self.name} has no sample {min(lacking)} any more")
        return [found[entry.bare.id] for entry in drawn]

    def pick(self, needles: int, ids: Collection[str]) -> Iterator[Sample]:
        """The samples of some ids of a needle count, and maybe others."""
        return self.draw(needles, None, 0) if self.pick_ids is None else self.pick_ids(needles, ids)

    def _bins(self, needles: int, seed: int, there: Sequence[Entry], most: float) -> dict[str, str]:
        """The bins of some entries, counted where they are not stated; beyond `most` tokens maybe not the right one."""
        counts = Counts(self.content)
        known = {entry.bare.id: entry.bare.bin for entry in there}
        for entry in there:
            if not entry.bare.bin and (counted := counts.of(entry.bare, most)):
                known[entry.bare.id] = bin_of(counted[0])
        unknown = {id for id, bin in known.items() if not bin}
        if unknown:
            read = (s for s in self.draw(needles, None, seed) if s.id in unknown and self._fits(s, needles))
            known |= {sample.id: sample.bin for sample in all_binned(read, counts, most)}
            counts.store()
        return known

    def _read(self, needles: int | None, limit: int | None, seed: int) -> Iterator[Sample]:
        filtered = self.subtask and self.maker is None  # how many must be read for `limit` is not known in advance
        fitting = (s for s in self.draw(needles, None if filtered else limit, seed) if self._fits(s, needles))
        seen: set[str] = set()
        for sample in fitting:
            self._check_new(sample.id, seen)
            yield sample

    def _fits(self, sample: Sample, needles: int | None) -> bool:
        return needles in (None, sample.needles) and self.subtask in ("", sample.subtask)

    def _check_new(self, id: str, seen: set[str]) -> None:
        if id in seen:
            raise UserError(f"{self.name}: the id {id!r} occurs twice; give each sample its own")
        seen.add(id)

    def _matching(self, needles: int | None, limit: int | None, seed: int, bins: Collection[str]) -> Iterator[Sample]:
        if not bins:
            return self._read(needles, limit, seed)
        most = upper_edge(bins)
        found = (binned(sample, most) for sample in self._read(needles, None, seed))
        return (sample for sample in found if sample.bin in bins)

    def _finished(self, sample: Sample) -> Sample:
        """A sample with its bin and the task's question."""
        return TASKS[self.task].ask(binned(sample))

    def with_task(self, name: str) -> "DataSet":
        """The same data for another task, or the samples of one sub-task.

        Raises
        ------
        UserError
            If there is no such task, or the data lack the questions it needs.
        """
        task = next((task for task in TASKS.values() if name == task.name or name in task.subtasks), None)
        if task is None:
            raise unknown("task", name, names(self.format))
        if not task.fits(self.format):
            fitting = " or ".join(f"--task {other.name}" for other in TASKS.values() if other.fits(self.format))
            raise UserError(f"--task {name}: {self.name} has no questions and answers of that task; use {fitting}")
        return replace(self, task=task.name, subtask="" if name == task.name else name)._redrawn()

    def with_context(self, tokens: int) -> "DataSet":
        """The same data with contexts of another length.

        Raises
        ------
        UserError
            If they are not generated, or not at this length.
        """
        if self.maker is None:
            raise UserError(f"--context is for data that are made at any length, such as ruler, not for {self.name}")
        return replace(self, context=tokens)._redrawn()

    def _redrawn(self) -> "DataSet":
        """Generated data with `draw` set for the current sub-task and length; other data unchanged."""
        maker = self.maker
        if maker is None:
            return self
        if self.subtask and self.subtask not in maker.shortest:
            raise UserError(
                f"--task {self.subtask}: {self.name} can be made for {', '.join(maker.shortest)}; for others, give "
                "RULER's own files as --data"
            )
        subtasks = [self.subtask] if self.subtask else list(maker.shortest)
        context = maker.context if self.context is None else self.context
        shortest = max(maker.shortest[name] for name in subtasks)
        if not shortest <= context <= maker.longest:
            what = self.subtask or self.name
            raise UserError(f"--context {context}: {what} can be made with {shortest} to {maker.longest:,} tokens")
        return replace(self, draw=maker.draw(subtasks, context))
