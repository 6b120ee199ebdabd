"""What makes two runs comparable, and how a run is named and repeated."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from freqq.report.results import Results
from freqq.runs.settings import Settings

DESCRIBED = ("model_revision", "dtype", "data_revision")
SET = ("generation", "max_new_tokens", "config", "font", "dpi", "tokens_from")
"""Facts of ``run.json``, and of its settings, in which runs must agree to be paired. Names and paths of the same
content may differ; samples, arms and the machine may, too."""


def differing(a: Results, b: Results) -> list[str]:
    """What keeps two runs from being paired, such as ``data_revision is mini-2, not mini-1``. Empty: nothing does."""
    found = [(name, a.description.get(name), b.description.get(name)) for name in DESCRIBED]
    found.append(("task", a.task, b.task))
    usual = Settings().as_json()
    before, after = ({**usual, **r.description.get("settings", {})} for r in (a, b))
    found += [(name, before[name], after[name]) for name in SET]
    reasons = [f"{name} is {_shown(y)}, not {_shown(x)}" for name, x, y in found if x != y]
    if not reasons and (pages := _pages_differ(a, b)):
        reasons.append(f"{pages} of the samples that both have were rendered to other pages")
    return reasons


def _pages_differ(a: Results, b: Results) -> int:
    """How many samples have other pages in the two runs: a rendering's files can change under the same name."""
    known, other = (
        {id: page for arm in r.arms for id, page in zip(arm.samples.ids, arm.samples.page_hashes, strict=True) if page}
        for r in (a, b)
    )
    return sum(known.get(id, page) != page for id, page in other.items())


def labels(paths: Sequence[Path]) -> list[str]:
    """Short names of run directories: the last parts of each path, as many as tell them all apart."""
    parts = [p.resolve().parts for p in paths]
    for count in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(p[-count:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [str(p) for p in paths]


def command(settings: Mapping[str, Any], path: Path) -> str:
    """The ``freqq eval`` that repeats a run into a directory."""
    usual = Settings().as_json()
    words = ["freqq", "eval"]
    for name, option in (("methods", "--method"), ("needles", "--needle"), ("levels", "--level"), ("bins", "--bin")):
        for value in settings.get(name, ()):
            words += [option, str(value)]
    for name in (
        "model", "revision", "dtype", "data", "task", "config", "font", "dpi", "limit", "seed", "max_new_tokens",
        "tokens_from", "generation",
    ):  # fmt: skip
        if settings.get(name, usual[name]) != usual[name]:
            words += [f"--{name.replace('_', '-')}", str(settings[name])]
    for name, value in settings.get("overrides", ()):
        words += ["--set", f"{name}={value}"]
    if not settings.get("baseline", True):
        words.append("--no-baseline")
    return shlex.join([*words, "--out", str(path)])


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
