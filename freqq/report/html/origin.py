"""What it takes to make a run again: its command, versions, hashes, hardware."""

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from freqq.levels import LEVELS
from freqq.runs.directory import RESULTS, RunDirectory

OPTIONS = {
    "needles": "--needle",
    "methods": "--method",
    "levels": "--level",
    "model": "--model",
    "revision": "--revision",
    "dtype": "--dtype",
    "data": "--data",
    "task": "--task",
    "bins": "--bin",
    "config": "--config",
    "font": "--font",
    "dpi": "--dpi",
    "limit": "--limit",
    "seed": "--seed",
    "max_new_tokens": "--max-new-tokens",
    "tokens_from": "--tokens-from",
    "generation": "--generation",
}
"""Of each setting, the option of ``freqq eval`` that sets it."""

SMALL = {"dtype": "auto", "generation": "greedy"}
"""Defaults that a command need not say."""


@dataclass(frozen=True)
class Origin:
    """Where the rows of a run come from.

    Parameters
    ----------
    path : str
        The run directory, as the user named it.
    command : str
        Continues the run, or makes it anew where it is not there.
    facts : tuple of (name, value)
        Model, data, how they were read.
    versions, hardware : tuples of str
        One for each kind of machine that took part.
    arms : tuple of (method, level, parameters, config hash)
    digest : str
        SHA-256 of the results' file.
    """

    path: str
    command: str
    facts: tuple[tuple[str, str], ...]
    versions: tuple[str, ...]
    hardware: tuple[str, ...]
    arms: tuple[tuple[str, str, str, str], ...]
    digest: str


def origin(path: Path) -> Origin:
    """The origin of a merged run.

    Raises
    ------
    UserError
        If `path` is no run directory, or a damaged one.
    """
    plan = RunDirectory(path).plan()
    settings = plan.get("settings", {})
    metadata = json.loads((pq.read_schema(path / RESULTS).metadata or {}).get(b"freqq", b"{}"))
    facts = {
        "model": f"{settings.get('model')}, revision {plan.get('model_revision')}",
        "data": f"{settings.get('data')}, revision {plan.get('data_revision')}",
        "number format": str(plan.get("dtype")),
        "generation": str(settings.get("generation", "greedy")),
        "seed": str(settings.get("seed")),
        "samples": f"{len(plan['samples']):,}",
    }
    arms = tuple((a["method"], a["level"], a["params"], a["config_hash"]) for a in plan["arms"])
    return Origin(
        str(path),
        command(settings, path),
        tuple(facts.items()),
        tuple(_named(found) for found in metadata.get("versions") or () if found),
        tuple(_machine(found) for found in metadata.get("hardware") or () if found),
        arms,
        hashlib.sha256((path / RESULTS).read_bytes()).hexdigest(),
    )


def command(settings: Mapping[str, Any], out: Path) -> str:
    """The ``freqq eval`` that makes a run with these settings, those of ``run.json``, for a POSIX shell."""
    words = ["freqq", "eval"]
    for name, option in OPTIONS.items():
        value = settings.get(name)
        if value is None or value == SMALL.get(name):
            continue
        if name == "levels" and value == list(LEVELS):
            value = "all"
        for one in value if isinstance(value, list) else [value]:
            # A chat that hides nothing has no --needle.
            if (name, one) != ("needles", 0):
                words += [option, str(one)]
    for name, value in settings.get("overrides", ()):
        words += ["--set", f"{name}={value}"]
    if not settings.get("baseline", True):
        words.append("--no-baseline")
    return shlex.join([*words, "--out", str(out)])


def _named(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _machine(values: Mapping[str, Any]) -> str:
    """A machine in words: ``x86_64, Linux, 2 threads, cpu``."""
    threads = values.get("threads")
    parts = [values.get("gpu"), values.get("device"), values.get("machine"), values.get("system")]
    if threads:
        parts.append(f"{threads} thread{'s' if threads != 1 else ''}")
    return ", ".join(str(part) for part in parts if part)
