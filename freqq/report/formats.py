"""A table of comparisons as Markdown, CSV, JSON and LaTeX: the same numbers in each."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from freqq.report.comparison import RATES, Comparison
from freqq.report.curves import areas
from freqq.report.evidence import Evidence, RunFacts
from freqq.report.statistics import Estimate
from freqq.report.tables import fraction, interval, p_value

Value = str | int | float | bool | None

ESTIMATES = ("score", "macro", "baseline", "difference", "macro_difference", "retention")
PLAIN = (
    "run plain_run reference context model task needles method level params n n_paired n_failed exact baseline_exact "
    "difference_exact p_value p_holm wins ties losses detectable words"
).split()

BACKSLASHED = str.maketrans({
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", **{c: f"\\{c}" for c in "&%$#_{}"},
})  # fmt: skip


def records(comparisons: Sequence[Comparison]) -> list[dict[str, Value]]:
    """A flat record of numbers and text for each comparison; None where there is nothing.

    An estimate is three of them, such as ``score``, ``score_low`` and ``score_high``.
    """
    return [_record(c) for c in comparisons]


def _record(comparison: Comparison) -> dict[str, Value]:
    found: dict[str, Value] = {name: getattr(comparison, name) for name in PLAIN}
    for name in ESTIMATES:
        estimate: Estimate | None = getattr(comparison, name)
        values = {} if estimate is None else estimate.as_json()
        found |= {name: values.get("mean"), f"{name}_low": values.get("low"), f"{name}_high": values.get("high")}
    found |= {f"rate_{name}": comparison.rates[name] for name in RATES}
    return found | dict(comparison.costs)


def as_json(evidence: Evidence) -> str:
    """Everything: headline, warnings, a record with its bins for each comparison, areas between curves, and runs."""
    value = {
        "headline": evidence.headline,
        "warnings": list(evidence.warnings),
        "comparisons": [
            record | {"bins": [_bin(b) for b in c.bins]}
            for c, record in zip(evidence.comparisons, records(evidence.comparisons), strict=True)
        ],
        "areas": [asdict(a) for a in areas(evidence.comparisons)],
        "runs": [_run(run) for run in evidence.runs],
    }
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def _bin(found: Any) -> dict[str, Any]:
    difference = None if found.difference is None else found.difference.as_json()
    return {"bin": found.bin, "n": found.n, "score": found.score.as_json(), "difference": difference}


def _run(run: RunFacts) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(run).items()}


def as_csv(evidence: Evidence) -> str:
    """A line for each comparison, with every digit; empty where there is nothing."""
    lines = io.StringIO()
    found = records(evidence.comparisons)
    names = list(found[0]) if found else []
    writer = csv.DictWriter(lines, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in record.items()} for record in found)
    return lines.getvalue()


HEADERS = (
    "run", "needles", "method", "level", "n", "failed", "score", "macro", "exact", "difference", "win/tie/loss", "p",
    "p (Holm)", "detectable", "retention", "image bytes", "token bytes", "tokens", "in words",
)  # fmt: skip


def cells(comparison: Comparison) -> list[str]:
    """A comparison as a line of a table with `HEADERS`."""
    c = comparison
    counts = "-" if c.wins is None else f"{c.wins}/{c.ties}/{c.losses}"
    return [
        c.run,
        "all" if c.needles is None else str(c.needles),
        c.method,
        c.level,
        str(c.n),
        str(c.n_failed),
        estimate(c.score),
        estimate(c.macro),
        fraction(c.exact),
        estimate(c.difference, signed=True),
        counts,
        p_value(c.p_value),
        p_value(c.p_holm),
        "-" if c.detectable is None else fraction(c.detectable),
        estimate(c.retention),
        *(percent(c.rates[name]) for name in RATES),
        c.words,
    ]


def as_markdown(evidence: Evidence) -> str:
    """The headline, the warnings, the table, and the command of each run."""
    rows = [HEADERS, ["---"] * len(HEADERS), *(cells(c) for c in evidence.comparisons)]
    parts = [evidence.headline, "", *(f"- {_line(w)}" for w in evidence.warnings), *([""] if evidence.warnings else [])]
    parts += ["| " + " | ".join(_line(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    parts += ["", NOTE, "", *(f"- `{run.label}`: `{_line(run.command)}`" for run in evidence.runs)]
    return "\n".join(parts) + "\n"


NOTE = (
    "Intervals: 95 %, bootstrap (BCa; wider for differences where few changed). Differences: paired, on the same "
    "samples. p: sign flips, corrected after Holm for all lines. Detectable: the difference that so many samples show "
    "with 80 % power; - if no answer changed or all changed alike. Rates: of the uncompressed."
)


def as_latex(evidence: Evidence) -> str:
    """A table for the package booktabs."""
    rows = [" & ".join(latex(cell) for cell in row) + r" \\" for row in (HEADERS, *map(cells, evidence.comparisons))]
    columns = "lrll" + "r" * (len(HEADERS) - 5) + "l"
    lines = [f"% {_line(evidence.headline)}", f"\\begin{{tabular}}{{{columns}}}", r"\toprule", rows[0], r"\midrule"]
    return "\n".join([*lines, *rows[1:], r"\bottomrule", r"\end{tabular}", f"% {NOTE}"]) + "\n"


def latex(text: str) -> str:
    """Text that LaTeX sets as it is."""
    escaped = _line(text).translate(BACKSLASHED)
    # A line of a table that begins with a bracket would be read as an argument of the line break before it.
    return "{[}" + escaped[1:] if escaped.startswith("[") else escaped


FORMATS: dict[str, Callable[[Evidence], str]] = {
    "md": as_markdown,
    "csv": as_csv,
    "json": as_json,
    "latex": as_latex,
}


def estimate(found: Estimate | None, signed: bool = False) -> str:
    """``.936 [.901, .962]``."""
    return "-" if found is None else interval(found.as_json(), signed).replace("\\", "")


def percent(value: float | None) -> str:
    """A rate as a percentage."""
    return "-" if value is None else f"{100 * value:.1f} %"


def _line(text: str) -> str:
    """On one line: names of runs come from a file system that allows anything."""
    return " ".join(text.split())
