"""Samples that were being read when a process died: read last and alone, and given up when they killed too often."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from freqq.data.sample import Sample
from freqq.errors import FreqqError
from freqq.runs.directory import write_json
from freqq.runs.environment import part_metadata
from freqq.runs.grading import blank_row, failed
from freqq.runs.parts import PartWriter, answered
from freqq.runs.plan import Arm, Identity
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard

MOST_DEATHS = 2
"""So many processes that answered something before may die on a sample that they have for themselves. After that it is
given up."""


@dataclass
class Suspects:
    """How many processes on a device that works died on each suspect when they had only this one."""

    deaths: dict[str, int] = field(default_factory=dict)

    def accuse(self, at: Sequence[str], device_works: bool) -> list[str]:
        """Note what a dead process was reading. Returns what is to be given up; that is no suspect any more.

        Parameters
        ----------
        device_works : bool
            Whether the process had answered anything. If not, its death says nothing of a sample.
        """
        for id in at:
            self.deaths[id] = self.deaths.get(id, 0) + (device_works and len(at) == 1)
        given_up = [id for id in at if self.deaths[id] >= MOST_DEATHS]
        for id in given_up:
            del self.deaths[id]
        return given_up

    def restrict(self, ids: Iterable[str]) -> None:
        """Forget all but these: others have their rows by now, or are of no sample of the run."""
        for id in self.deaths.keys() - set(ids):
            del self.deaths[id]

    @classmethod
    def read(cls, run: Path, shard: Shard) -> "Suspects":
        """Those that a former process left; none if there is no readable file."""
        try:
            found = json.loads(_file(run, shard).read_text())
            return cls({str(id): int(deaths) for id, deaths in found.items()})
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return cls()

    def write(self, run: Path, shard: Shard) -> None:
        """Leave them to the next process; nothing if there are none."""
        if self.deaths:
            write_json(_file(run, shard), self.deaths)
        else:
            _file(run, shard).unlink(missing_ok=True)


def _file(run: Path, shard: Shard) -> Path:
    return run / f".suspects-{shard.index}-of-{shard.count}.json"


@dataclass(frozen=True)
class FailedRows:
    """Writes the rows of samples that are given up, without a model."""

    run: Path
    settings: Settings
    identity: Identity
    model: str
    device: str
    shard: Shard
    arms: Sequence[tuple[Arm, str]]

    def write(self, sample: Sample, reason: str) -> int:
        """Write the rows that a sample lacks, with the reason as their error; returns their number."""
        there, data = answered(self.run), self.settings.source
        now, error = datetime.now(UTC), FreqqError(reason)
        rows = [
            failed(
                blank_row(
                    self.settings, data, self.identity, self.model, self.device, self.shard, arm, known_as, sample, now
                ),
                error,
            )
            for arm, known_as in self.arms
            if (sample.id, known_as) not in there
        ]
        writer = PartWriter(self.run, self.shard, part_metadata(self.run, self.device))
        writer.add(rows)
        writer.flush()
        return len(rows)


def why_given_up(how: str) -> str:
    """The error of a sample that killed processes, the last of them in the way that `how` says."""
    return (
        f"{MOST_DEATHS} workers died while they had only this sample, the last with {how}: it may need more memory "
        "than there is"
    )
