"""A run directory: ``run.json``, ``parts/*.parquet``, ``results.parquet``. Files appear whole or not at all."""

import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from freqq.errors import FreqqError, UserError
from freqq.files import check_writable, write_whole
from freqq.runs.parts import PARTS, writing
from freqq.runs.schema import Row, conform, from_table
from freqq.runs.schema import renamed as with_baseline
from freqq.runs.settings import Settings, renamed

RUN, RESULTS, SUMMARY, SCRIPTS = "run.json", "results.parquet", "summary.json", "slurm"
TOLD = ("drawn", "skipped")
"""Of ``run.json``, what only says how the samples came about, which the other entries decide."""

ENGINE_LOGS = "vllm*.log"
"""What engines printed; one that did not come up leaves its log in a folder that holds nothing else."""

SHOWN = 60
"""Characters of a value that an error message shows."""

REPEATED = {"methods": "--method", "needles": "--needle", "levels": "--level", "bins": "--bin"}
"""The settings that have several values, and their options."""


def write_json(path: Path, value: object) -> None:
    """Write a value as readable JSON."""
    with writing(path):
        write_whole(path, lambda p: p.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n"))


class RunDirectory:
    """Where a run keeps what it has.

    Parameters
    ----------
    path : Path
        It need not exist yet; nothing is created before `record`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def description(self) -> dict[str, Any] | None:
        """What ``run.json`` says; None if there is none."""
        try:
            found: dict[str, Any] = json.loads((self.path / RUN).read_text())
        except FileNotFoundError:
            return None
        except NotADirectoryError as error:
            raise UserError(f"cannot write to {self.path}: a part of that path is a file") from error
        except (OSError, ValueError, RecursionError) as error:
            reason = f"is not readable ({error})"
            raise UserError(f"{self.path / RUN} {reason}: restore it, or choose another --out") from error
        if not isinstance(found, dict):
            raise UserError(f"{self.path / RUN} is not a run's description: restore it, or choose another --out")
        arms = found.get("arms")
        for arm in arms if isinstance(arms, list) else ():
            if isinstance(arm, dict) and isinstance(arm.get("method"), str):
                arm["method"] = with_baseline(arm["method"])
        return found

    def plan(self) -> dict[str, Any]:
        """What ``run.json`` says; a `UserError` if there is none, it plans nothing, or it says what no run writes."""
        if self.path.is_file():
            raise UserError(f"{self.path} is a file, not a run directory")
        found = self.description()
        if found is None:
            raise UserError(f"{self.path} is not a run directory: it has no {RUN}")
        if not (isinstance(found.get("samples"), list) and isinstance(found.get("arms"), list)):
            raise UserError(f"{self.path / RUN} does not say what was planned: it is damaged, or not of freqq")
        if wrong := _damage(found):
            raise UserError(f"{self.path / RUN} is damaged, as its {wrong} cannot be read: restore it")
        return found

    def check(self, settings: Settings) -> None:
        """Refuse, before anything expensive, a folder that cannot be written or holds something else.

        Raises
        ------
        UserError
            The message names the settings that differ.
        """
        found = self.description()
        if found is not None:
            now = settings.as_json()
            before = _completed(found.get("settings", {}), now)
            self._check_limit(before["limit"], settings.limit)
            self._compare(before | {"limit": settings.limit}, now)
        elif self.path.is_dir() and any(
            p.name not in (PARTS, SCRIPTS) and p.name[0] != "." and not p.match(ENGINE_LOGS)
            for p in self.path.iterdir()
        ):
            raise UserError(f"{self.path} holds other files and no {RUN}: choose an empty or new folder with --out")
        check_writable(self.path)

    def _check_limit(self, before: object, now: int) -> None:
        if isinstance(before, int) and before > now:
            raise UserError(
                f"{self.path} is a run with limit = {before}, and a smaller one does not make it smaller: choose "
                f"another --out for --limit {now}"
            )

    def _compare(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        differing = [
            f"{name} = {_shown(before.get(name))}, not {_shown(value)}"
            for name, value in now.items()
            if before.get(name) != value
        ]
        if differing:
            raise UserError(f"{self.path} is a run with {'; '.join(differing)}: choose another --out")

    def record(self, description: dict[str, Any]) -> bool:
        """Write ``run.json``, or check that it says the same, a smaller limit aside. True if it was written now."""
        found = self.description()
        if found is not None:
            now = json.loads(json.dumps(description))
            before = _completed(found.get("settings", {}), now["settings"])
            if _grows(before, now["settings"]):
                before |= {"limit": now["settings"]["limit"]}
                if not set(found.get("samples", ())) <= set(now["samples"]):
                    raise UserError(
                        f"{self.path} has samples that are not among those of a larger --limit, as runs of older "
                        "versions may: choose another --out"
                    )
                found = found | {"samples": now["samples"]}
            self._compare(found | {"settings": before} | {name: now.get(name) for name in TOLD}, now)
        with writing(self.path / PARTS):
            (self.path / PARTS).mkdir(parents=True, exist_ok=True)
        if found is None:
            self.write(description)
        return found is None

    def write(self, description: dict[str, Any]) -> None:
        """Write ``run.json``, whatever it said."""
        write_json(self.path / RUN, description)

    def grow(self, description: dict[str, Any]) -> dict[str, Any] | None:
        """Write ``run.json`` again if its limit is smaller, and return what it said; None if it stays.

        To be called after `record`, by who has the run's lock. How the run was graded again stays noted.
        """
        found = self.plan()
        if not _grows(found["settings"], description["settings"]):
            return None
        self.write({name: value for name, value in found.items() if name not in TOLD} | description)
        return found

    def is_merged(self, planned: int) -> bool:
        """Whether there are results, of as many rows as are planned: a run that grows has those from before."""
        path = self.path / RESULTS
        try:
            return bool(pq.read_metadata(path).num_rows == planned)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (OSError, pa.ArrowException):
            return True  # whoever reads them says what is wrong

    def forget(self) -> None:
        """Undo `record` for a run that could not start; a part that is there anyway keeps its folder."""
        locks = list(self.path.glob(".lock-*"))
        if len(locks) > 1:
            return  # others are about to start, too
        with suppress(OSError):
            (self.path / PARTS).rmdir()
            (self.path / RUN).unlink()
            for file in (*locks, *self.path.glob(".pages-*"), *self.path.glob(".retry-*")):
                file.unlink()
            self.path.rmdir()

    def read(self) -> list[Row]:
        """The rows of ``results.parquet``; raises as `table` does."""
        return from_table(self.table())

    def table(self) -> pa.Table:
        """``results.parquet``, with the columns of this version.

        Raises
        ------
        UserError
            If there is none.
        FreqqError
            If it is damaged, or of a version that this one cannot read.
        """
        path = self.path / RESULTS
        if not path.is_file():
            raise UserError(f"{path} is not there yet: put the parts together with freqq runs merge {self.path}")
        try:
            found = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            reason = " ".join(str(error).split())[:200]
            raise FreqqError(f"{path} is damaged ({reason}): merge the run again") from error
        return conform(found, path)


def eval_command(settings: Mapping[str, Any], path: Path) -> str:
    """The ``freqq eval`` that repeats a run into a directory.

    A server's address is not recorded, as it changes no answer, so ``URL`` stands for it.
    """
    usual = Settings().as_json()
    words = ["freqq", "eval"]
    for name, option in REPEATED.items():
        for value in settings.get(name, ()):
            words += [option, str(value)]
    for name in usual:
        if name not in (*REPEATED, "overrides", "baseline") and settings.get(name, usual[name]) != usual[name]:
            words.append(f"--{name.replace('_', '-')}")
            words += [] if settings[name] is True else [str(settings[name])]
    for name, value in settings.get("overrides", ()):
        words += ["--set", f"{name}={value}"]
    if not settings.get("baseline", True):
        words.append("--no-baseline")
    if settings.get("backend") == "openai":
        words += ["--base-url", "URL"]
    return shlex.join([*words, "--out", str(path)])


def _damage(plan: Mapping[str, Any]) -> str | None:
    """The first entry of a ``run.json`` with values of other types than a run writes; None if there is none."""
    if not all(isinstance(sample, str) for sample in plan["samples"]):
        return "samples"
    for arm in plan["arms"]:
        if not (isinstance(arm, dict) and {"method", "config_hash"} <= arm.keys()):
            return "arms"
        if not all(isinstance(arm.get(name, ""), str) for name in ("method", "level", "params", "config_hash")):
            return "arms"
    settings = plan.get("settings", {})
    if not isinstance(settings, dict):
        return "settings"
    for name, usual in Settings().as_json().items():
        value = settings.get(name, usual)
        scalar: Any = float | int | None if name == "dpi" else str | float | int | None
        if not isinstance(value, list if isinstance(usual, list) else scalar) or (
            name == "overrides" and any(not _is_pair(one) for one in value)
        ):
            return f"setting {name}"
    return None


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2


def _grows(before: dict[str, Any], now: dict[str, Any]) -> bool:
    smaller, larger = before.get("limit"), now.get("limit")
    return isinstance(smaller, int) and isinstance(larger, int) and smaller < larger


def _completed(settings: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What an older version had no setting for, it did as the setting's default says."""
    return {name: value for name, value in Settings().as_json().items() if name in now} | renamed(settings)


def _shown(value: object) -> str:
    """A value as JSON, its start if it is long."""
    text = json.dumps(value)
    if len(text) <= SHOWN:
        return text
    count = f" ({len(value)} in all)" if isinstance(value, list) else ""
    return f"{text[:SHOWN]}...{count}"
