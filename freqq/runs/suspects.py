"""Samples that were being read when a process died: read last and alone, one arm after another, and given up by each
arm that killed too often."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from freqq.data.sample import Sample
from freqq.errors import FreqqError
from freqq.runs.directory import write_json
from freqq.runs.environment import part_metadata
from freqq.runs.grading import blank_row, failed
from freqq.runs.parts import Key, PartWriter, answered
from freqq.runs.plan import Arm, Identity
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard

MOST_DEATHS = 2
"""So many processes that answered something before may die on a sample that they have for themselves, at the same arm.
After that it is given up by this arm."""


@dataclass
class Suspects:
    """How many processes on a device that works died on each suspect when they had only this one, by the label of the
    arm that was at work. A baseline may need more memory than there is for a sample that a method leaves less of."""

    deaths: dict[str, dict[str, int]] = field(default_factory=dict)

    def accuse(self, at: Sequence[str], arms: Sequence[str], device_works: bool) -> tuple[str, str] | None:
        """Note what a dead process was reading. Returns the sample and the arm that are to be given up, if any.

        The sample stays suspect unless this was the last arm that it lacked.

        Parameters
        ----------
        arms : sequence of str
            The labels of those that a suspect lacked, the first of them at work; none of any other sample.
        device_works : bool
            Whether the process had answered anything. If not, its death says nothing of a sample.
        """
        for id in at:
            self.deaths.setdefault(id, {})
        if not (device_works and arms and len(at) == 1):
            return None
        id, arm = at[0], arms[0]
        count = self.deaths[id][arm] = self.deaths[id].get(arm, 0) + 1
        if count < MOST_DEATHS:
            return None
        if len(arms) == 1:
            del self.deaths[id]
        return id, arm

    def restrict(self, ids: Iterable[str]) -> None:
        """Forget all but these: others have their rows by now, or are of no sample of the run."""
        for id in self.deaths.keys() - set(ids):
            del self.deaths[id]

    @classmethod
    def read(cls, run: Path, shard: Shard) -> "Suspects":
        """Those that a former process left; none if there is no readable file."""
        try:
            found = json.loads(_file(run, shard).read_text())
            return cls({id: {arm: int(count) for arm, count in deaths.items()} for id, deaths in found.items()})
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return cls()

    def write(self, run: Path, shard: Shard) -> None:
        """Leave them to the next process; nothing if there are none. What is given up has its row, and is not told."""
        if self.deaths:
            counts = {
                id: {arm: count for arm, count in deaths.items() if count < MOST_DEATHS}
                for id, deaths in self.deaths.items()
            }
            write_json(_file(run, shard), counts)
        else:
            _file(run, shard).unlink(missing_ok=True)


def _file(run: Path, shard: Shard) -> Path:
    return run / f".suspects-{shard.index}-of-{shard.count}.json"


@dataclass(frozen=True)
class FailedRows:
    """Writes the rows of samples that are given up by an arm, without a model.

    Parameters
    ----------
    failed_before : float
        The time before which rows that failed count as missing, in Unix seconds.
    """

    run: Path
    settings: Settings
    identity: Identity
    model: str
    device: str
    shard: Shard
    arms: Sequence[tuple[Arm, str]]
    failed_before: float

    def write(self, sample: Sample, label: str, reason: str) -> int:
        """Write the row of a sample and an arm, with the reason as its error, unless it is there; returns how many."""
        [(arm, known_as)] = [(arm, known_as) for arm, known_as in self.arms if arm.label == label]
        if (sample.id, known_as) in answered(self.run, True, self.failed_before):
            return 0
        row = blank_row(
            self.settings, self.settings.source, self.identity, self.model, self.device, self.shard, arm, known_as,
            sample, datetime.now(UTC),
        )  # fmt: skip
        writer = PartWriter(self.run, self.shard, part_metadata(self.run, self.device))
        writer.add([failed(row, FreqqError(reason))])
        writer.flush()
        return 1


def given_up(deaths: Mapping[str, Mapping[str, int]], arms: Sequence[tuple[Arm, str]]) -> set[Key]:
    """The keys of what has died too often, as `Suspects` counts."""
    return {
        (id, known_as)
        for id, counts in deaths.items()
        for arm, known_as in arms
        if counts.get(arm.label, 0) >= MOST_DEATHS
    }


def why_given_up(how: str) -> str:
    """The error of a sample that killed processes at one arm, the last of them in the way that `how` says."""
    return (
        f"{MOST_DEATHS} workers died while they had only this sample and this arm, the last with {how}: it may need "
        "more memory than there is"
    )
