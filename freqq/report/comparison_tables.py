"""Comparisons as tables for a terminal; each fits into 100 columns, and into 80."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from rich import box
from rich.table import Table

from freqq.report.comparison import Comparison
from freqq.report.curves import Area
from freqq.report.formats import estimate, percent
from freqq.report.tables import interval, p_value

WIDTH = 100
LONGEST_RUN = 18
"""Characters of a run's name in a column of a table of so many columns."""


def run_names(comparisons: Sequence[Comparison], width: int = WIDTH) -> dict[str, str]:
    """How tables call each run: by its name, or all by numbers if one of them is too long for a column."""
    runs = list(dict.fromkeys(c.run for c in comparisons))
    fits = all(len(run) <= LONGEST_RUN - max(0, WIDTH - width) for run in runs)
    return {run: run if fits else str(i + 1) for i, run in enumerate(runs)}


def comparison_tables(comparisons: Sequence[Comparison], width: int = WIDTH) -> list[Table]:
    """For each reference a table of what differs on the same samples, and one of what that says.

    Runs are called as in `run_names`.
    """
    names = run_names(comparisons, width)
    comparisons = [replace(c, run=names[c.run]) for c in comparisons]
    found = []
    for (run, reference), group in groupby(comparisons, key=lambda c: (c.plain_run, c.reference)):
        lines = list(group)
        if reference is None:
            found.append(numbers(lines, "Not compared: nothing to pair with"))
        else:
            found += [numbers(lines, f"Against {reference} of {run}, on the same samples"), verdicts(lines)]
    return found


def numbers(lines: Sequence[Comparison], title: str) -> Table:
    """Scores and paired differences with their intervals and p-values."""
    table = _table(title)
    for name in ("n", "score", "difference", "+/=/-", "p (Holm)"):
        table.add_column(name, justify="right", no_wrap=True)
    for c in lines:
        n = str(c.n) if c.n_paired in (0, c.n) else f"{c.n_paired} of {c.n}"
        counts = "-" if c.wins is None else f"{c.wins}/{c.ties}/{c.losses}"
        difference = None if c.difference is None else c.difference.as_json()
        score = estimate(c.score).split()[0]
        table.add_row(*_names(c), n, score, interval(difference, signed=True), counts, p_value(c.p_holm))
    return table


def verdicts(lines: Sequence[Comparison]) -> Table:
    """The differences in words, and what so many samples could have shown."""
    table = _table("In words, in points of 100; and from what size on so many samples show one (80 % power)")
    table.add_column("difference")
    table.add_column("shown from", justify="right", no_wrap=True)
    for c in lines:
        table.add_row(*_names(c), c.words, "-" if c.detectable is None else f"{100 * c.detectable:.1f}")
    if any(c.detectable is None for c in lines):
        table.caption = "-: no answer changed or all changed alike, which does not tell how far answers vary"
        table.caption_justify = "left"
    return table


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False, box=box.SIMPLE_HEAD)
    table.padding, table.show_edge = (0, 1, 0, 0), False
    table.add_column("run", overflow="fold", max_width=LONGEST_RUN)
    table.add_column("needles", justify="right", no_wrap=True)
    table.add_column("arm", overflow="fold", max_width=20)
    return table


def _names(c: Comparison) -> tuple[str, str, str]:
    return c.run.replace("[", r"\["), "all" if c.needles is None else str(c.needles), c.arm


def area_table(areas: Sequence[Area]) -> Table:
    """Methods beside each other at the same rate."""
    table = Table(
        title="Retention at the same rate: how much more the first method retains, on average over the range of both",
        title_justify="left", title_style="bold", pad_edge=False, box=box.SIMPLE_HEAD,
    )  # fmt: skip
    for name in ("needles", "rate", "method", "other", "from", "to", "points"):
        table.add_column(name, justify="left" if name in ("rate", "method", "other") else "right")
    for a in areas:
        needles = "all" if a.needles is None else str(a.needles)
        rate = a.rate.replace("_", " ")
        table.add_row(needles, rate, a.method, a.other, percent(a.low), percent(a.high), f"{100 * a.difference:+.1f}")
    return table
