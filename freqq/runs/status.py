"""How far a run is, from its files alone."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from freqq.errors import UserError
from freqq.runs.directory import RUN, RunDirectory
from freqq.runs.lock import owners
from freqq.runs.merge import planned_keys
from freqq.runs.parts import answered


@dataclass(frozen=True)
class Status:
    """What a run was asked and what is there of it.

    Parameters
    ----------
    planned, stored, failed : int
        Keys that there will be, that are there, and those of them that only failed so far.
    merged : bool
        Whether there are results of all that is planned.
    at_work : tuple of str
        The processes that hold a part of it.
    """

    path: Path
    data: str
    model: str
    methods: tuple[str, ...]
    planned: int
    stored: int
    failed: int
    merged: bool
    at_work: tuple[str, ...]

    @property
    def state(self) -> str:
        """In words."""
        if self.at_work:
            return f"at work: {', '.join(self.at_work)}"
        if self.merged:
            return "done"
        return "to be merged" if self.stored == self.planned else "stopped"

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self) | {"path": str(self.path), "state": self.state}


def status(path: Path) -> Status:
    """A run's status.

    Raises
    ------
    UserError
        If `path` is no run directory.
    """
    plan = RunDirectory(path).plan()
    planned = set(planned_keys(plan))
    there, good = answered(path) & planned, answered(path, retry_failed=True) & planned
    settings = plan.get("settings", {})
    return Status(
        path,
        str(settings.get("data")),
        str(settings.get("model")),
        tuple(dict.fromkeys(arm["method"] for arm in plan["arms"])),
        len(planned),
        len(there),
        len(there - good),
        RunDirectory(path).is_merged(len(planned)),
        tuple(map(str, owners(path))),
    )


def find_runs(folder: Path) -> list[Path]:
    """The run directories in a folder, at any depth, by path.

    Raises
    ------
    UserError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: give the folder that contains the run directories")
    return sorted(path.parent for path in folder.rglob(RUN))
