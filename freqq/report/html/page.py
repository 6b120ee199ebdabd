"""The HTML page of a report."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from freqq import __version__
from freqq.report import wording
from freqq.report.comparison import Comparison
from freqq.report.curves import areas, curve_names
from freqq.report.evidence import Evidence
from freqq.report.html import charts, rates
from freqq.report.html.examples import Example, examples
from freqq.report.html.heat import heat_map
from freqq.report.run_facts import RunFacts, distinct_titles
from freqq.runs.directory import RESULTS

HERE = Path(__file__).parent
MOST_FIGURES, MOST_MAPS, MOST_SHOWN = 4, 12, 50
"""Limits: contexts with figures, runs with a heat map, and entries of a list."""


def html(evidence: Evidence, shown: Callable[[], Sequence[Example]] | None = None) -> str:
    """The page of some runs; deterministic. Rows are read again for the examples.

    Parameters
    ----------
    shown : function
        Returns the examples, if another process makes them.
    """
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "points": _points,
        "percent": lambda value: typeset(wording.percent(value)),
        "p_value": lambda value: typeset(wording.p_value(value)),
        "typeset": typeset,
        "whole_words": lambda text: Markup(re.sub(r"\S+", r"<span>\g<0></span>", str(escape(text)))),
        "breakable": lambda name: escape(name).replace("+", Markup("+<wbr>")),
    }
    contexts, labels = _contexts(evidence), {run.path: run.label for run in evidence.runs}
    return environment.get_template("report.html.jinja").render(
        version=__version__,
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        evidence=evidence,
        facts=_facts(evidence),
        tested=sum(c.p_value is not None for c in evidence.comparisons),
        several_bins=any(len(c.bins) > 1 for c in evidence.comparisons),
        rates=rates.RATES,
        groups=[{"title": title, "comparisons": [*map(_with_verdict, own)]} for title, own in _grouped(evidence)],
        contexts=len(contexts),
        areas=_areas(contexts[:MOST_FIGURES]),
        rate_figures=[f for i, (title, own) in enumerate(contexts[:MOST_FIGURES]) if (f := _rates(i, title, own))],
        heat_maps=[
            heat_map([c for c in evidence.comparisons if c.run == r.label], r.label) for r in evidence.runs[:MOST_MAPS]
        ],
        subtasks=[c for c in evidence.comparisons if c.subtasks and c.needles is not None],
        cost_figures=[_costs(i, title, own) for i, (title, own) in enumerate(contexts[:MOST_FIGURES])],
        stages=[name for name, *_ in charts.STAGES],
        cost_names=[
            *(f"{name}, ms" for name, *_ in charts.STAGES),
            "KV cache, prompt",
            "KV cache, answer",
            "peak memory",
        ],
        cost_groups=_cost_groups(evidence),
        examples=[
            {**vars(e), "run": labels[e.chosen.run]} for e in (examples(evidence.pairs) if shown is None else shown())
        ],
        failures=_failures(evidence),
        outcomes=[(c, text) for c in _apart(evidence) if (text := wording.outcomes(c.outcomes, c.n))],
        runs=[{"facts": run, "pairs": _pairs(run)} for run in evidence.runs],
        most_shown=MOST_SHOWN,
        most_figures=MOST_FIGURES,
        most_maps=MOST_MAPS,
    )


def _points(value: float | None, signed: bool = False) -> str:
    return typeset(wording.points(value, signed))


def typeset(text: str) -> str:
    """The text with proper minus signs, and a dash for a missing value."""
    return "–" if text == wording.NOTHING else re.sub(r"(?<![\w.-])-(?=[\d.])", "−", text)


def _apart(evidence: Evidence) -> list[Comparison]:
    """Comparisons at single needle counts, so that no sample counts twice in an arm."""
    return [c for c in evidence.comparisons if c.needles is not None]


def _failures(evidence: Evidence) -> list[dict[str, Any]]:
    """Errors of each arm of a run, most frequent first."""
    found: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    for c in _apart(evidence):
        for f in c.failures:
            own = {"run": c.run, "method": c.method, "level": c.level, "error": f.error, "sample": f.sample, "count": 0}
            found.setdefault((c.run, c.method, c.level, f.error), own)["count"] += f.count
    return sorted(found.values(), key=lambda own: -own["count"])


def _facts(evidence: Evidence) -> list[tuple[str, str]]:
    runs = evidence.runs
    failed = sum(run.n_failed for run in runs)
    return [
        ("runs", f"{len(runs):,}"),
        ("model", _listed(run.model for run in runs)),
        ("data", _listed(f"{run.data} ({run.task})" for run in runs)),
        ("samples", f"{max((run.n_samples for run in runs), default=0):,}" + (" at most" if len(runs) > 1 else "")),
        ("answers", f"{sum(run.n_rows for run in runs):,}"),
        ("failed", f"{failed:,}"),
        *(("stored tokens", text) for text in dict.fromkeys(wording.sizes(run.settings) for run in runs) if text),
    ]


def _listed(names: Iterable[str]) -> str:
    """The last parts of distinct paths or names."""
    distinct = list(dict.fromkeys(Path(name).name for name in names))
    return ", ".join(distinct[:3]) + (f" and {len(distinct) - 3} more" if len(distinct) > 3 else "")


def _grouped(evidence: Evidence) -> list[tuple[str, list[Comparison]]]:
    """Comparisons by run and needles, all needles together first."""
    found = []
    several = len(evidence.runs) > 1
    for run in evidence.runs:
        own = [c for c in evidence.comparisons if c.run == run.label]
        own.sort(key=lambda c: -1 if c.needles is None else c.needles)
        for needles, group in groupby(own, lambda c: c.needles):
            counted = "all needles together" if needles is None else wording.needles(needles)
            parts = [run.label] if several else []
            adapter = run.settings.get("adapter")
            adapted = [f"methods with the adapter {Path(adapter).name}"] if adapter else []
            found.append((" · ".join([*parts, counted, f"{run.task} on {Path(run.data).name}", *adapted]), list(group)))
    return found


def _with_verdict(comparison: Comparison) -> dict[str, Any]:
    """A comparison with its verdict (empty, ``better`` or ``worse``) and texts."""
    verdict = comparison.verdict if comparison.verdict != "unclear" else None
    texts = {"words": wording.verdict(comparison), "failures_in_words": wording.failures(comparison)}
    return {**vars(comparison), "verdict": verdict or "", **texts, "counts": wording.win_tie_loss(comparison)}


def _contexts(evidence: Evidence) -> list[tuple[str, list[Comparison]]]:
    """Comparisons that may share a figure, over all needle counts of their run, with a title."""
    overall = Counter(c.run for c in evidence.comparisons if c.needles is None)
    shown = [c for c in evidence.comparisons if c.needles is None or c.run not in overall]
    firsts = {run.context: run for run in reversed(evidence.runs)}
    runs = [firsts[context] for context in sorted(firsts)]
    titles = distinct_titles([f"{Path(r.model).name} on {Path(r.data).name}, {r.task}" for r in runs], runs)
    inside = ([c for c in shown if c.context == run.context] for run in runs)
    return [(title, own) for title, own in zip(titles, inside, strict=True) if own]


def _rates(number: int, title: str, comparisons: Sequence[Comparison]) -> dict[str, Any] | None:
    """The figures of a context; None if there is only the baseline."""
    arms = [c for c in comparisons if not c.is_baseline]
    if not arms:
        return None
    what = "retention" if any(c.retention is not None for c in arms) else "score"
    names = curve_names(arms)
    lines: dict[str, list[rates.Point]] = {}
    for c in arms:
        value = c.retention if what == "retention" else c.score
        if value is not None and value.mean == value.mean:
            lines.setdefault(names[c.context, c.method, c.run], []).append(rates.Point(c.level, c.rates, value))
    found = rates.panels(lines, f"rates{number}", what)
    return {"title": title, "what": what, "panels": {**vars(found), "charts": [*map(Markup, found.charts)]}}


def _areas(contexts: Sequence[tuple[str, Sequence[Comparison]]]) -> list[dict[str, str]]:
    """Rows of the table of areas between the drawn curves."""
    names = dict(rates.RATES)
    return [
        {
            "method": a.method,
            "other": a.other,
            "rate": names[a.rate],
            "range": f"{wording.percent(a.low)} to {wording.percent(a.high)}",
            "difference": typeset(wording.points(a.difference, signed=True)),
            "title": title if len(contexts) > 1 else "",
        }
        for title, own in contexts
        for a in areas(own)
    ]


def _costs(number: int, title: str, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    several = len({c.run for c in comparisons}) > 1
    bars = [(c.arm + (f", {c.run}" if several else ""), c.stages) for c in comparisons[: charts.MOST_BARS]]
    return {
        "title": title
        + (f" (the first {charts.MOST_BARS} of {len(comparisons)})" if len(comparisons) > charts.MOST_BARS else ""),
        "latency": Markup(charts.latency(bars, f"latency{number}")),
        "memory": Markup(charts.memory(bars, f"memory{number}")),
    }


def _cost_groups(evidence: Evidence) -> list[dict[str, Any]]:
    overall = {c.run for c in evidence.comparisons if c.needles is None}
    found = []
    for run in evidence.runs:
        rows = []
        for c in evidence.comparisons:
            if c.run != run.label or (c.needles is not None and c.run in overall):
                continue
            values = c.stages
            cells = [wording.milliseconds(values[cost]) for _, cost, *_ in charts.STAGES]
            cells += [
                wording.size(values[cost]) for cost in ("kv_prompt_bytes", "kv_answer_bytes", "peak_memory_bytes")
            ]
            rows.append({"method": c.method, "level": c.level, "is_baseline": c.is_baseline, "cells": cells})
        found.append({"title": run.label, "rows": rows})
    return found


def _pairs(run: RunFacts) -> list[tuple[str, str]]:
    """Further facts to reproduce a run."""
    digest = hashlib.sha256((run.path / RESULTS).read_bytes()).hexdigest()
    return [
        ("model", f"{run.model}, revision {run.model_revision}, {run.dtype}"),
        ("data", f"{run.data}, revision {run.data_revision}"),
        ("protocol", run.protocol),
        ("answers", f"{run.n_rows:,}, of {run.n_samples:,} samples; {run.n_failed:,} failed"),
        ("made", f"{run.started_at} to {run.ended_at} UTC"),
        *(("versions", ", ".join(f"{n} {v}" for n, v in found.items())) for found in run.versions),
        *(("hardware", ", ".join(f"{n} {v}" for n, v in found.items() if v is not None)) for found in run.hardware),
        ("results", f"SHA-256 {digest}"),
    ]
