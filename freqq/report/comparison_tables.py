"""Comparisons as tables for a terminal; each fits into 100 columns."""

from collections.abc import Sequence
from itertools import groupby

from rich import box
from rich.table import Table

from freqq.report.comparison import Comparison
from freqq.report.formats import estimate, p_value
from freqq.report.tables import interval


def comparison_tables(comparisons: Sequence[Comparison]) -> list[Table]:
    """For each reference a table of what differs on the same samples, and one of what that says."""
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
    return table


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False, box=box.SIMPLE_HEAD)
    table.add_column("run", overflow="fold", max_width=18)
    table.add_column("needles", justify="right")
    table.add_column("arm", overflow="fold", max_width=20)
    return table


def _names(c: Comparison) -> tuple[str, str, str]:
    return c.run.replace("[", r"\["), "all" if c.needles is None else str(c.needles), c.arm
