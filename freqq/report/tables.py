"""Comparisons as tables for terminals of 80 columns or more: names are folded, numbers are never cut."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from freqq.data.tasks import TASKS
from freqq.report import wording
from freqq.report.comparison import Comparison
from freqq.report.curves import Area, areas
from freqq.report.evidence import Evidence
from freqq.report.leaderboard import Board, Place
from freqq.report.wording import COLUMNS

Column = tuple[str, Callable[[Comparison], str]]

LONGEST_RUN = 18
"""Longest run name, in characters, in a table of several runs; runs with longer names are numbered."""

UNBOUNDED = 10_000


@dataclass(frozen=True)
class Heads:
    """The first columns of a table: their names and cells, and the longest line of an arm's name."""

    names: tuple[str, ...]
    cells: Callable[[Comparison], list[str]]
    arm: int = 15


WIDE = Heads(("needles", "method", "level"), lambda c: [COLUMNS["needles"](c), escape(c.method), c.level])
NARROW = Heads(
    ("needles", "arm"), lambda c: [COLUMNS["needles"](c), escape("\n".join(dict.fromkeys((c.method, c.level))))]
)
FULL_WIDTH = 100
"""Width of a terminal for complete tables; below, names are folded and scores have no intervals."""


def result_tables(evidence: Evidence, width: int) -> list[RenderableType]:
    """The tables of ``freqq eval``: scores, verdicts, sizes and times, with one line per group."""
    groups = [c for c in evidence.comparisons if c.needles is not None]
    heads = WIDE if width >= FULL_WIDTH else NARROW
    found: list[RenderableType] = [_score_table(groups, heads)]
    if any(len(c.bins) > 1 for c in groups):
        found.append(_macro_table(groups, heads))
    if any(c.subtasks for c in groups):
        found.append(_subtask_table(groups, heads))
    if any(c.reference is not None for c in groups):
        found.append(_verdict_table(groups, heads))
    sampled = dict.fromkeys(text for run in evidence.runs if (text := wording.sizes(run.settings)))
    return [*found, *notes(groups), _size_table(groups, heads), *sampled, _time_table(groups, heads)]


def notes(comparisons: Sequence[Comparison], failures: Callable[[Comparison], str] = wording.failures) -> list[str]:
    """Failures and outcomes other than answers, one line per arm that has any."""
    found = []
    for c in comparisons:
        texts = (failures(c), wording.outcomes(c.outcomes, c.n))
        if note := "; ".join(text for text in texts if text):
            found.append(escape(f"{wording.needles(c.needles)}, {c.arm}: {note}"))
    return found


def comparison_tables(evidence: Evidence, width: int) -> list[RenderableType]:
    """The tables of ``freqq compare``: differences and verdicts for each reference."""
    names = _run_names([c.run for c in evidence.comparisons], LONGEST_RUN - max(0, FULL_WIDTH - width))
    arm = 20 if width >= FULL_WIDTH else 15
    heads = Heads(("run", *NARROW.names), lambda c: [escape(names[c.run]), COLUMNS["needles"](c), escape(c.arm)], arm)
    found: list[RenderableType] = []
    for (run, reference), group in groupby(evidence.comparisons, key=lambda c: (c.reference_run, c.reference)):
        lines = list(group)
        title = escape(f"Against {reference} of {run}, on the samples that both answered")
        title = "Not compared: nothing to pair with" if reference is None else title
        shown = _columns(("score", "mean"), "difference", ("+/=/-", "win/tie/loss"), "p (Holm)")
        found.append(_rows(title, lines, [("n", _paired), *shown], heads))
        if reference is not None:
            found.append(_verdict_table(lines, heads))
        found += notes(lines)
    found += [f"run {name}: {escape(run)}" for run, name in names.items() if name != run]
    return [*found, *([_area_table(between)] if (between := areas(evidence.comparisons)) else [])]


def show_board(board: Board, console: Console) -> None:
    """Print a board of ``freqq leaderboard`` without cutting names or numbers.

    If run names do not fit, they are replaced by numbers and listed below the table. If that is still too wide, arms
    take two lines, and then columns are dropped, which are in the report or follow from the rest.
    """
    full = {
        place.runs: f"{place.runs[0]}{f' (+{len(place.runs) - 1})' if place.runs[1:] else ''}" for place in board.places
    }
    numbered = {runs: str(i + 1) for i, runs in enumerate(full)}
    dropped = ("images", "retained", "failed", "difference")
    choices = [
        *((runs, lines, ()) for runs in (full, numbered) for lines in (1, 2)),
        *((numbered, 2, dropped[: i + 1]) for i in range(len(dropped))),
    ]
    for runs, lines, without in choices:
        table = _board_table(board.places, runs, lines, without)
        if Measurement.get(console, console.options.update_width(UNBOUNDED), table).maximum <= console.width:
            break
    console.print(board.title, style="bold", markup=False)
    console.print(table)
    for own, number in numbered.items() if runs is numbered else ():
        console.print(f"run {number}: {full[own]}", markup=False, soft_wrap=True)
    for note in notes([place.comparison for place in board.places], wording.failures_as_0):
        console.print(note)
    console.print()


def _board_table(
    places: Sequence[Place], runs: dict[tuple[str, ...], str], lines: int, without: Sequence[str]
) -> Table:
    columns: list[Column] = [
        *_columns("score"),
        ("difference", lambda c: wording.fraction(None if c.difference is None else c.difference.mean, signed=True)),
        ("failed", lambda c: str(c.n_failed) if c.n_failed else wording.NOTHING),
        ("retained", lambda c: wording.percent(None if c.retention is None else c.retention.mean)),
        *_columns(("images", "image bytes"), ("stored", "token bytes"), "tokens"),
    ]
    columns = [column for column in columns if column[0] not in without]
    table = Table(pad_edge=False, padding=(0, 1, 0, 0), show_edge=False, box=box.SIMPLE_HEAD)
    for name in ("", "arm", "run", *(name for name, _ in columns)):
        table.add_column(name, justify="left" if name in ("arm", "run") else "right", no_wrap=True)
    for place in places:
        c = place.comparison
        arm = c.arm if c.method == c.level or lines == 1 else f"{c.method}\n{c.level}"
        rank = f"{place.rank}{'=' if place.tied else ' '}"
        cells = (_red(cell(c)) if name == "failed" else escape(cell(c)) for name, cell in columns)
        table.add_row(rank, escape(arm), escape(runs[place.runs]), *cells)
    return table


def _score_table(groups: Sequence[Comparison], heads: Heads) -> Table:
    transcripts = any(c.errors for c in groups)
    score = " / ".join(dict.fromkeys(TASKS[c.task].score for c in groups))
    exact = "error rates of characters and words" if transcripts else "exact answers"
    columns = [
        *_columns("n", "failed", "score" if heads is WIDE else ("score", "mean")),
        *(_columns(("CER", "cer"), ("WER", "wer")) if transcripts else _columns("exact")),
        *_columns("difference"),
    ]
    return _rows(f"{score} with 95 % interval, {exact}, paired difference to the baseline", groups, columns, heads)


def _macro_table(groups: Sequence[Comparison], heads: Heads) -> Table:
    columns: list[Column] = [
        ("bins", lambda c: str(len(c.bins))),
        *_columns(("score", "macro")),
        ("difference", lambda c: wording.estimate(c.macro_difference, signed=True)),
    ]
    title = "The same as means over bins of context length, each counting the same (macro average)"
    return _rows(title, groups, columns, heads)


def _subtask_table(groups: Sequence[Comparison], heads: Heads) -> Table:
    table = _table("Scores of the suite's parts; last their mean, each part counting the same", heads)
    table.add_column("part")
    for name in ("n", "failed", "score", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    for c in groups:
        for part in c.subtasks:
            ends = wording.estimate(part.score), wording.estimate(part.difference, signed=True)
            table.add_row(*heads.cells(c), escape(part.name), str(part.n), str(part.n_failed), *map(escape, ends))
        if c.suite is not None:
            table.add_row(
                *heads.cells(c), "mean", str(c.n), str(c.n_failed), escape(wording.estimate(c.suite)), wording.NOTHING
            )
    return table


def _verdict_table(groups: Sequence[Comparison], heads: Heads) -> Table:
    title = "What the differences say, in points of 100; p is corrected for all lines (Holm)"
    columns: list[Column] = [
        *_columns(("+/=/-", "win/tie/loss"), ("p", "p (Holm)")),
        ("detects", lambda c: wording.points(c.detectable)),
        *_columns("in words"),
    ]
    table = _rows(title, [c for c in groups if c.reference is not None], columns, heads, no_wrap=True)
    table.caption = "+/=/-: answers better, equal, worse; detects: effect that this many samples detect with 80 % power"
    table.caption_justify = "left"
    return table


def _size_table(groups: Sequence[Comparison], heads: Heads) -> Table:
    """Sizes behind the three rates: tokens in the sequence (and so the KV cache), stored tokens, images."""

    def costs(name: str, raw: str, shown: Callable[[float | None], str]) -> Callable[[Comparison], str]:
        return lambda c: _arrow(shown(c.costs[raw]), shown(c.costs[name]))

    def cache(c: Comparison) -> str:
        prompt, answer = (wording.size(c.costs[name]) for name in ("kv_prompt_bytes", "kv_answer_bytes"))
        return _joined(prompt, "+", answer) if heads is WIDE else f"{prompt}\n+ {answer}"

    columns: list[Column] = [
        ("tokens", costs("vision_tokens", "vision_tokens_full", wording.count)),
        ("stored tokens", costs("token_bytes", "token_bytes_raw", wording.size)),
        ("images", costs("image_bytes", "image_bytes_raw", wording.size)),
        ("KV cache", cache),
    ]
    title = "Mean sizes of a sample: tokens read, tokens as stored, page images, KV cache of prompt + answer"
    return _rows(title, groups, columns, heads)


def _time_table(groups: Sequence[Comparison], heads: Heads) -> Table:
    columns: list[Column] = [
        ("vision", lambda c: wording.milliseconds(c.costs["vision_ms"])),
        ("compress", lambda c: wording.milliseconds(_sum(c.stages["codec_ms"], c.costs["compress_ms"]))),
        ("prefill", lambda c: wording.milliseconds(c.costs["prefill_ms"])),
        ("decode", lambda c: wording.milliseconds(c.stages["answer_ms"])),
    ]
    title = "Mean times of a sample in ms; token methods and the baseline share the vision tower"
    return _rows(title, groups, columns, heads)


def _area_table(between: Sequence[Area]) -> Table:
    title = "Retention at the same rate: how much more the first method retains, on average over the range of both"
    table = _table(title, Heads((), lambda c: []))
    for name in ("needles", "rate", "method", "other", "from", "to", "points"):
        table.add_column(name, justify="left" if name in ("rate", "method", "other") else "right", overflow="fold")
    for a in between:
        needles, rate = "all" if a.needles is None else str(a.needles), a.rate.replace("_", " ")
        ends = wording.percent(a.low), wording.percent(a.high), wording.points(a.difference, signed=True)
        table.add_row(needles, rate, a.method, a.other, *ends)
    return table


def _columns(*names: str | tuple[str, str]) -> list[Column]:
    """Columns of `COLUMNS`, by name or by (heading, name)."""
    pairs = [(name, name) if isinstance(name, str) else name for name in names]
    return [(heading, COLUMNS[name]) for heading, name in pairs]


def _rows(
    title: str, groups: Sequence[Comparison], columns: Sequence[Column], heads: Heads, no_wrap: bool | None = None
) -> Table:
    table = _table(title, heads)
    for name, _ in columns:
        if name == "in words":
            table.add_column(name, min_width=24)
        else:
            table.add_column(name, justify="right", no_wrap=heads is not NARROW if no_wrap is None else no_wrap)
    for c in groups:
        table.add_row(
            *heads.cells(c), *(_red(cell(c)) if name == "failed" else escape(cell(c)) for name, cell in columns)
        )
    return table


def _table(title: str, heads: Heads) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False, box=box.SIMPLE_HEAD)
    table.padding, table.show_edge = (0, 1, 0, 0), False
    widest = {"run": LONGEST_RUN, "arm": heads.arm, "method": 22}
    for name in heads.names:
        if name in widest:
            table.add_column(name, overflow="fold", min_width=3 if name == "run" else 8, max_width=widest[name])
        else:
            table.add_column(name, justify="right" if name == "needles" else "left", no_wrap=True)
    return table


def _paired(c: Comparison) -> str:
    return str(c.n) if c.reference is None or c.n_paired == c.n else f"{c.n_paired} of {c.n}"


def _run_names(runs: Sequence[str], longest: int) -> dict[str, str]:
    """Names of runs in tables; numbers for all if one name is too long."""
    known = list(dict.fromkeys(runs))
    fits = all(len(run) <= longest for run in known)
    return {run: run if fits else str(i + 1) for i, run in enumerate(known)}


def _red(failed: str) -> str:
    return failed if failed in ("0", wording.NOTHING) else f"[red]{failed}[/red]"


def _arrow(before: str, after: str) -> str:
    return before if before == after else _joined(before, "->", after)


def _joined(first: str, sign: str, second: str) -> str:
    """``76.8 -> 46.1 KB``: a common unit is written once."""
    number, _, unit = first.partition(" ")
    return f"{number if unit and second.endswith(f' {unit}') else first} {sign} {second}"


def _sum(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
