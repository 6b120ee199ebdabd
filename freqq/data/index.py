"""What is known of the samples of data in files without holding their texts, kept in the cache for the next process.

Which samples a run draws, and which of them a shard reads, follows from their ids, strata and lengths. To find those,
all texts are read and parsed once; then they are known by the content of the files, and a shard reads its own
samples alone. Tokens are counted once, too, and only of samples that are read.

A file of the cache is named by a digest of the data's content, which each process computes from all bytes of the files
(`freqq.data.load`), so it cannot be out of date: data that change are other data.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

from freqq import cache
from freqq.data import bins
from freqq.data.bins import bin_of, count, estimate
from freqq.data.sample import Sample
from freqq.data.tasks.base import Task
from freqq.errors import UserError

VERSION = 1
"""Of what is kept; changes whenever reading the same files gives other samples or strata."""


@dataclass(frozen=True)
class Entry:
    """A sample of which the texts may not be held.

    Parameters
    ----------
    bare : Sample
        Its id, needles, sub-task and rendering configuration, and the bin if the data state it; all of it if the data
        are made, not read.
    stratum : str
        What it is drawn from (`freqq.data.draws`).
    size : int or None
        Characters of the chat, or the number of images; None: `bare` is whole.
    fault : str or None
        Why the task could not grade it.
    """

    bare: Sample
    stratum: str = ""
    size: int | None = None
    fault: str | None = None

    def as_json(self) -> list[Any]:
        """Itself, as values of JSON."""
        bare, config = self.bare, None if self.bare.config is None else dict(self.bare.config)
        known = [bare.id, bare.needles, bare.bin, bare.bin_source, bare.subtask, config]
        return [*known, self.stratum, self.size, self.fault]

    @classmethod
    def from_json(cls, values: list[Any]) -> "Entry":
        """What `as_json` gave."""
        id, needles, bin, bin_source, subtask, config, stratum, size, fault = values
        bare = Sample(id, needles, bin, bin_source=bin_source, subtask=subtask, config=config)
        return cls(bare, stratum, size, fault)


def entry_of(sample: Sample, task: Task) -> Entry:
    """What is known of a sample that was read, for a task."""
    fault = None
    try:
        task.check(task.ask(sample))
    except UserError as error:
        fault = str(error)
    bare = replace(sample, turns=(), question="", answer="", prefix="", images=(), references=(), classes=())
    return Entry(bare, stratum_of(sample), len(sample.images) or sum(len(t.text) for t in sample.turns), fault)


def entries(content: str, task: str, needles: int, make: Callable[[], Iterable[Entry]]) -> list[Entry]:
    """The entries of a needle count, from the cache or made now. Those with a fault are not kept.

    Parameters
    ----------
    content : str
        What names the content of the data, and the names that ids are made of; empty: nothing is kept.
    task : str
        By which `Entry.fault` is found.
    """
    if not content:
        return list(make())
    path = _path("samples", content, task, needles)
    found = [Entry.from_json(values) for values in cache.recall(path) or ()]
    if not found or _faulty(found):
        found = list(make())
        if not _faulty(found):
            cache.remember(path, lambda before: [entry.as_json() for entry in found])
    return found


def _faulty(found: Iterable[Entry]) -> bool:
    """Whether a task could not grade one: the data may be to blame, or a library that is missing here today."""
    return any(entry.fault is not None for entry in found)


@dataclass
class Counts:
    """Tokens that were counted of samples. What cannot be counted here is not kept, but estimated.

    Parameters
    ----------
    content : str
        As of `entries`.
    """

    content: str
    _known: Mapping[str, list[Any]] = field(init=False)
    _new: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known = (cache.recall(self._path) if self.content else None) or {}

    def of(self, sample: Sample, most: float = inf) -> tuple[int, str] | None:
        """As `freqq.data.bins.count` gives it; None if that has to be asked.

        Parameters
        ----------
        most : float
            Beyond which the number does not matter.
        """
        name = _name(sample)
        known = self._new.get(name) or self._known.get(name)
        if known is None:
            return None
        tokens, source, counted_to = known
        return (tokens, source) if counted_to is None or most <= counted_to else None

    def add(self, sample: Sample, counted: tuple[int, str], most: float = inf) -> None:
        """Note what `freqq.data.bins.count` gave for the same `most`."""
        if bins.encoding() is not None:
            tokens, source = counted
            self._new[_name(sample)] = [tokens, source, None if tokens <= most else most]

    def store(self) -> None:
        """Put all that is new beside what is there."""
        if self.content and self._new:
            cache.remember(self._path, lambda before: (before or {}) | self._new)

    @property
    def _path(self) -> Path:
        return _path("tokens", self.content)


THREADS, AHEAD = 2, 4
"""Threads that count tokens beside the one that reads samples, which is ahead of them by at most so many samples."""


def binned(sample: Sample, most: float = inf) -> Sample:
    """A sample with its bin, from the tokens of prompt and answer as in the data card of `openai/mrcr`.

    Beyond `most` tokens counting stops: the bin is then one above that of `most`, but maybe not the right one. A bin
    that the data state stays.
    """
    return sample if sample.bin else _with_bin(sample, count(_texts(sample), most))


def all_binned(samples: Iterable[Sample], counts: Counts, most: float = inf) -> Iterator[Sample]:
    """As `binned`, in their order; the next samples are read while tokens are counted.

    `counts` are asked first, and told what was counted.
    """
    pending: deque[tuple[Sample, Future[tuple[int, str]] | None]] = deque()

    def first() -> Sample:
        sample, counting = pending.popleft()
        if sample.bin:
            return sample
        counted = counts.of(sample, most)
        if counted is None:
            assert counting is not None
            counts.add(sample, counted := counting.result(), most)
        return _with_bin(sample, counted)

    with ThreadPoolExecutor(THREADS, "freqq-tokens") as pool:
        for sample in samples:
            known = bool(sample.bin) or counts.of(sample, most) is not None
            pending.append((sample, None if known else pool.submit(count, _texts(sample), most)))
            if len(pending) > AHEAD:
                yield first()
        while pending:
            yield first()


def _with_bin(sample: Sample, counted: tuple[int, str]) -> Sample:
    tokens, source = counted
    return replace(sample, bin=bin_of(tokens), bin_source=source)


def stratum_of(sample: Sample) -> str:
    """What a sample is drawn from: its bin as the data state it or by estimated tokens, of its part of a suite."""
    stated = sample.bin if sample.bin_source == "file" else ""
    found = stated or bin_of(sum(map(estimate, _texts(sample))))
    return f"{sample.subtask} {found}" if sample.subtask else found


def _texts(sample: Sample) -> list[str]:
    return [*(turn.text for turn in sample.turns), sample.question, sample.answer]


def _name(sample: Sample) -> str:
    """Parts of a suite may have the same ids."""
    return f"{sample.subtask} {sample.id}"


def _path(kind: str, *named: object) -> Path:
    name = hashlib.sha256(json.dumps([VERSION, *named]).encode()).hexdigest()
    return cache.folder("data") / f"{name[:32]}.{kind}.json"
