"""Run directories: their labels, how their results were made, and errors for directories without a finished run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from freqq.errors import UserError
from freqq.runs.directory import RESULTS, RUN, RunDirectory, eval_command
from freqq.runs.status import status


def labels(paths: Sequence[Path]) -> list[str]:
    """Short names of run directories: as many last parts of each path as make them unique."""
    parts = [p.resolve().parts for p in paths]
    for count in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(p[-count:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [str(p) for p in paths]


def unfinished(path: Path, plan: Mapping[str, Any]) -> str:
    """Why a run has no results yet, and the command that continues it."""
    found = status(path)
    if found.at_work:
        return f"{path} is not finished: {', '.join(found.at_work)} still running"
    if found.stored == found.planned:
        return f"{path} has all answers, but they are not merged yet: run freqq runs merge {path}"
    done = f"{path} stopped at {found.stored} of {found.planned} answers"
    return f"{done}: continue with {eval_command(plan.get('settings', {}), path)}"


def check_merged(path: Path) -> Mapping[str, Any]:
    """What ``run.json`` says of a run that has results; a `UserError` if it is not a run directory, or has none."""
    check_folder(path)
    plan = RunDirectory(path).plan()
    if not (path / RESULTS).is_file():
        raise UserError(unfinished(path, plan))
    return plan


def described_then(plan: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """``run.json`` as it was for these results; those of older versions do not say how they were graded."""
    found = {**plan, "regraded": metadata.get("regraded", plan.get("regraded"))}
    match metadata.get("config"):
        case {"settings": {"limit": limit}}:
            found["settings"] = {**plan.get("settings", {}), "limit": limit}
    return found


def behind(path: Path, plan: Mapping[str, Any], described: Mapping[str, Any], samples: int) -> str:
    """How results of so many samples lag behind ``run.json``, and what to do; empty if they do not."""
    if samples < (planned := len(plan["samples"])):
        return f"the results of {path} are those of {samples} of {planned} samples: run freqq runs merge {path}"
    if (wanted := plan.get("regraded")) != described["regraded"]:
        again = f"freqq regrade {path}{f' --protocol {wanted}' if wanted else ''}"
        return f"the results of {path} are from before it was graded again: run {again}"
    return ""


def check_folder(path: Path) -> None:
    """Raise a `UserError` for a path that is not a run directory, with what to give instead."""
    if path.is_dir():
        if not (path / RUN).exists() and any(path.glob(f"*/{RUN}")):
            raise UserError(f"{path} is not a run directory, but a folder of them: give the runs in it, as {path}/*")
    elif path.is_file():
        inside = path.parent if (path.parent / RUN).is_file() else None
        instead = f"give {inside}" if inside else f"give the folder with {RUN} in it"
        raise UserError(f"{path} is a file, not a run directory: {instead}")
    else:
        raise UserError(f"there is no run directory {path}: give the --out of a freqq eval")
