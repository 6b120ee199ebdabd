"""Comparisons as files: ``summary.json``, and tables in Markdown, CSV, JSON and LaTeX."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Any

from freqq.names import unknown
from freqq.report import wording
from freqq.report.comparison import ERROR_RATES, RATES, Comparison, Part
from freqq.report.curves import areas
from freqq.report.evidence import Evidence
from freqq.report.run_facts import RunFacts
from freqq.report.statistics import Estimate
from freqq.report.wording import COLUMNS
from freqq.runs.directory import SUMMARY, write_json

Value = str | int | float | bool | None

ESTIMATES = ("score", "macro", "suite", "baseline", "difference", "macro_difference", "as_zero", "retention")
PLAIN = (
    "run reference_run reference context model task needles method level params n n_failed n_shared n_paired "
    "reference_failed exact baseline_exact difference_exact p_value p_holm wins ties losses detectable"
).split()

BACKSLASHED = str.maketrans({
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", **{c: f"\\{c}" for c in "&%$#_{}"},
})  # fmt: skip


def number(value: Any) -> Any:
    """A JSON value: None for nan."""
    return None if isinstance(value, float) and isnan(value) else value


def records(comparisons: Sequence[Comparison]) -> list[dict[str, Value]]:
    """A flat record of numbers and text for each comparison; None for missing values.

    An estimate is three fields, such as ``score``, ``score_low`` and ``score_high``. Error rates are there if any
    comparison is of transcripts.
    """
    rates = [name for name in ERROR_RATES if any(name in c.errors for c in comparisons)]
    return [_record(c) | {name: number(c.errors.get(name)) for name in rates} for c in comparisons]


def _record(c: Comparison) -> dict[str, Value]:
    found: dict[str, Value] = {name: number(getattr(c, name)) for name in PLAIN}
    for name in ESTIMATES:
        value: Estimate | None = getattr(c, name)
        ends = {} if value is None else value.as_json()
        found |= {name: ends.get("mean"), f"{name}_low": ends.get("low"), f"{name}_high": ends.get("high")}
    found |= {f"rate_{name}": c.rates[name] for name in RATES} | dict(c.costs)
    return found | {"outcomes": wording.outcomes(c.outcomes, c.n) or None, "words": wording.verdict(c)}


def summary(evidence: Evidence) -> dict[str, Any]:
    """The summary of ``freqq eval``: a headline, and ``groups`` with one for each needle count, method and level.

    A group has ``n``, ``n_failed``, ``score`` (a mean and its 95 % interval), ``exact``, ``difference`` and its
    statistics, means of costs and of a transcript's error rates; ``sparse`` and ``dense`` for the samples with density
    below the needle count's median and for the others, ``bins`` for each context length, and ``subtasks`` for the parts
    of a suite, whose mean is ``suite_score``.
    """
    return {"headline": evidence.headline, "groups": [_group(c) for c in evidence.comparisons if c.needles is not None]}


def write_summary(run: Path, evidence: Evidence) -> dict[str, Any]:
    """Write ``summary.json`` and return it."""
    found = summary(evidence)
    write_json(run / SUMMARY, found)
    return found


def _group(c: Comparison) -> dict[str, Any]:
    found = {name: number(getattr(c, name)) for name in PLAIN if not name.startswith(("run", "context", "model"))}
    found |= {name: None if (e := getattr(c, name)) is None else e.as_json() for name in ESTIMATES if name != "suite"}
    found |= {"words": wording.verdict(c), **c.errors, **c.costs}
    found |= {"first_error": c.failures[0].error} if c.failures else {}
    found |= {"outcomes": dict(c.outcomes)} if c.outcomes else {}
    found |= {"density_median": number(c.density_median), **{part.name: _part(part) for part in c.density}}
    found["bins"] = {part.name: _part(part) for part in c.bins}
    if c.subtasks:
        suite = c.subtasks[0].score if c.suite is None else c.suite
        found |= {"subtasks": {part.name: _part(part) for part in c.subtasks}, "suite_score": number(suite.mean)}
    return found


def _part(part: Part) -> dict[str, Any]:
    return {
        "n": part.n,
        "n_failed": part.n_failed,
        "score": part.score.as_json(),
        "exact": number(part.exact),
        "difference": None if part.difference is None else part.difference.as_json(),
    }


def as_json(evidence: Evidence) -> str:
    """Headline, warnings, a record with its parts for each comparison, areas between curves, and runs."""
    value = {
        "headline": evidence.headline,
        "warnings": list(evidence.warnings),
        "comparisons": [
            record | {k: [{k[:-1]: p.name} | _part(p) for p in getattr(c, k)] for k in ("bins", "subtasks")}
            for c, record in zip(evidence.comparisons, records(evidence.comparisons), strict=True)
        ],
        "areas": [asdict(a) for a in areas(evidence.comparisons)],
        "runs": [_run(run) for run in evidence.runs],
    }
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def _run(run: RunFacts) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(run).items()}


def as_csv(evidence: Evidence) -> str:
    """A line for each comparison, with all digits; missing values are empty."""
    lines = io.StringIO()
    found = records(evidence.comparisons)
    writer = csv.DictWriter(lines, list(found[0]) if found else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in record.items()} for record in found)
    return lines.getvalue()


OPTIONAL = ("if failed = 0", "outcomes", *ERROR_RATES)
"""Columns that are omitted if they are empty."""

LATEX_COLUMNS = ("method", "level", "mean", "difference", "tokens")
"""Default columns of a LaTeX table: they fit a column of a two-column paper, 3.25 inches wide."""


def columns(evidence: Evidence, chosen: Sequence[str] | None, usual: Sequence[str]) -> list[str]:
    """The names of a table's columns: those chosen, or the usual ones that are not empty.

    Raises
    ------
    UserError
        If one of them is unknown.
    """
    for name in chosen or ():
        if name not in COLUMNS:
            raise unknown("column", name, COLUMNS)
    if chosen:
        return list(chosen)
    empty = {n for n in OPTIONAL if all(COLUMNS[n](c) == wording.NOTHING for c in evidence.comparisons)}
    return [name for name in usual if name not in empty]


def as_markdown(evidence: Evidence, chosen: Sequence[str] | None = None) -> str:
    """The headline, the warnings, the table, and the command of each run."""
    names = columns(evidence, chosen, [name for name in COLUMNS if name != "mean"])
    rows = [names, ["---"] * len(names), *([COLUMNS[n](c) for n in names] for c in evidence.comparisons)]
    parts = [evidence.headline, "", *(f"- {_line(w)}" for w in evidence.warnings), *([""] if evidence.warnings else [])]
    parts += ["| " + " | ".join(_line(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    parts += ["", NOTE, "", *(f"- `{run.label}`: `{_line(run.command)}`" for run in evidence.runs)]
    return "\n".join(parts) + "\n"


NOTE = (
    "Intervals: 95 %, weighted bootstrap; an interval of a difference excludes 0 exactly where p < .05. Differences: "
    "paired, on the samples that both answered. p (Holm): corrected for all lines. Detectable: the effect that this "
    "many samples detect with 80 % power; - if no answer changed or all changed by the same amount. Rates: of the "
    "uncompressed. KV cache: of the prompt."
)


def as_latex(evidence: Evidence, chosen: Sequence[str] | None = None) -> str:
    """A table for the package booktabs; several runs or needle counts get columns at the beginning."""
    usual = list(LATEX_COLUMNS)
    if len({c.needles for c in evidence.comparisons}) > 1:
        usual.insert(0, "needles")
    if len({c.run for c in evidence.comparisons}) > 1:
        usual.insert(0, "run")
    names = columns(evidence, chosen, usual)
    lines = [names, *([COLUMNS[n](c) for n in names] for c in evidence.comparisons)]
    rows = [" & ".join(map(latex, line)) + r" \\" for line in lines]
    left = ("run", "method", "level", "in words", "outcomes")
    kinds = "".join("l" if name in left else "r" for name in names)
    head = [f"% {_line(evidence.headline)}", r"\begingroup\footnotesize\setlength{\tabcolsep}{3pt}"]
    head += [f"\\begin{{tabular}}{{@{{}}{kinds}@{{}}}}", r"\toprule", rows[0], r"\midrule"]
    return "\n".join([*head, *rows[1:], r"\bottomrule", r"\end{tabular}\endgroup", f"% {NOTE}"]) + "\n"


def latex(text: str) -> str:
    """Escape text for LaTeX."""
    escaped = _line(text).translate(BACKSLASHED)
    # A bracket at the beginning of a row would be read as an argument of the line break before it.
    return "{[}" + escaped[1:] if escaped.startswith("[") else escaped


FORMATS = ("md", "csv", "json", "latex")


def write(evidence: Evidence, format: str, chosen: Sequence[str] | None = None) -> str:
    """Comparisons in one of `FORMATS`; `chosen` selects columns for md and latex."""
    if format in ("md", "latex"):
        return (as_markdown if format == "md" else as_latex)(evidence, chosen)
    return as_csv(evidence) if format == "csv" else as_json(evidence)


def _line(text: str) -> str:
    """Text on one line: names of runs may contain line breaks."""
    return " ".join(text.split())
