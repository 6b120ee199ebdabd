"""Whether runs are comparable, and facts to reproduce a run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freqq.report.results import Results
from freqq.runs.directory import eval_command
from freqq.runs.settings import Settings, renamed


@dataclass(frozen=True)
class RunFacts:
    """Facts to reproduce a run.

    Parameters
    ----------
    label : str
        Its directory's name, with as much of the path as distinguishes it from the other runs.
    command : str
        The command that repeats it.
    arms : tuple of mappings
        ``method level params config_hash`` of each.
    hardware, versions : tuples
        All that produced its rows.
    """

    label: str
    path: Path
    command: str
    context: int
    task: str
    model: str
    model_revision: str
    dtype: str
    data: str
    data_revision: str
    protocol: str
    settings: Mapping[str, Any]
    arms: tuple[Mapping[str, str], ...]
    versions: tuple[Mapping[str, Any], ...]
    hardware: tuple[Mapping[str, Any], ...]
    n_samples: int
    n_rows: int
    n_failed: int
    started_at: str
    ended_at: str


DESCRIBED = ("model_revision", "dtype", "attention", "served", "data_revision", "regraded")
SET = ("protocol", "max_new_tokens", "config", "font", "dpi", "line_breaks", "tokens_from", "backend", "quantization")
"""Facts of ``run.json`` and of its settings that must be equal for runs to be paired. Names and paths of the same
content, samples, arms and the machine may differ."""


def differing_facts(a: Results, b: Results) -> dict[str, str]:
    """The facts in which two runs differ, each in words, such as ``data_revision is mini-2, not mini-1``."""
    found = [(name, a.description.get(name), b.description.get(name)) for name in DESCRIBED]
    found.append(("task", a.task, b.task))
    usual = Settings().as_json()
    before, after = ({**usual, **renamed(r.description.get("settings", {}))} for r in (a, b))
    found += [(name, before.get(name), after.get(name)) for name in SET]
    return {name: f"{name} is {_shown(y)}, not {_shown(x)}" for name, x, y in found if x != y}


def differing(a: Results, b: Results) -> list[str]:
    """Why two runs cannot be paired: facts that differ, or else their pages, in words; empty if they can."""
    if reasons := [*differing_facts(a, b).values()]:
        return reasons
    count = _differing_pages(_pages(a), _pages(b))
    return [f"{count} of the samples that both have were rendered to other pages"] if count else []


def _pages(run: Results) -> dict[str, str]:
    """The hash of each sample's pages, where it is known."""
    columns = [zip(arm.samples.ids, arm.samples.page_hashes, strict=True) for arm in run.arms]
    return {id: page for column in columns for id, page in column if page}


def _differing_pages(known: Mapping[str, str], other: Mapping[str, str]) -> int:
    """The number of samples with different pages: rendered files can change under the same name."""
    return sum(known.get(id, page) != page for id, page in other.items())


def find_contexts(results: Sequence[Results], names: Sequence[str]) -> tuple[list[int], list[str]]:
    """The context of each run (runs of one context may be paired), and why runs are in different ones, in words."""
    members: list[list[int]] = []
    pages: list[dict[str, str]] = []
    contexts, warnings = [], []
    for i, run in enumerate(results):
        own_pages = _pages(run)
        # Facts that equal those of one member equal those of all. Pages need not: a member lacks samples of others.
        own = next(
            (
                c
                for c, inside in enumerate(members)
                if not differing_facts(results[inside[0]], run) and not _differing_pages(pages[c], own_pages)
            ),
            len(members),
        )
        if own == len(members):
            if members:
                other, reasons = next((j, found) for j in members[0] if (found := differing(results[j], run)))
                warnings.append(f"{names[i]} is shown apart from {names[other]}: {'; '.join(reasons)}")
            members.append([])
            pages.append({})
        members[own].append(i)
        pages[own] |= own_pages
        contexts.append(own)
    return contexts, warnings


def facts(run: Results, label: str, context: int) -> RunFacts:
    """The facts of a run."""
    description, settings = run.description, renamed(run.description.get("settings", {}))
    return RunFacts(
        label=label,
        path=run.path,
        command=eval_command(settings, run.path),
        context=context,
        task=run.task,
        model=str(settings.get("model")),
        model_revision=str(description.get("model_revision")),
        dtype=str(description.get("dtype")),
        data=str(settings.get("data")),
        data_revision=str(description.get("data_revision")),
        protocol=str(description.get("regraded") or settings.get("protocol", "official")),
        settings=settings,
        arms=tuple(description["arms"]),
        versions=run.versions,
        hardware=run.hardware,
        n_samples=len({id for arm in run.arms for id in arm.samples.ids}),
        n_rows=sum(len(arm.samples) for arm in run.arms),
        n_failed=sum(int(arm.samples.failed.sum()) for arm in run.arms),
        started_at=run.started_at,
        ended_at=run.ended_at,
    )


def distinct_titles(names: Sequence[str], runs: Sequence[RunFacts]) -> list[str]:
    """Titles of runs that are not comparable: equal names are extended by the facts that differ, such as ``dpi 96``.

    Runs that differ in none of the facts (in their pages, for instance) have their labels instead.
    """
    usual = Settings().as_json()
    known = [
        {name: _shown(getattr(run, name, {**usual, **run.settings}.get(name))) for name in (*DESCRIBED, *SET)}
        for run in runs
    ]
    titles = []
    for name, own in zip(names, known, strict=True):
        same = [other for title, other in zip(names, known, strict=True) if title == name]
        differing = [f"{fact} {value}" for fact, value in own.items() if any(o[fact] != value for o in same)]
        titles.append(", ".join([name, *differing]))
    return [
        f"{title}, {run.label}" if titles.count(title) > 1 else title for title, run in zip(titles, runs, strict=True)
    ]


def _shown(value: object) -> str:
    return value if isinstance(value, str) else "unset" if value is None else json.dumps(value)
