"""Evaluation from Python: what ``freqq eval``, ``freqq report`` and ``freqq compare`` do, with objects as results."""

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqq.errors import UserError
from freqq.files import check_writable, write_whole
from freqq.names import unknown
from freqq.runs.options import EvalOptions

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from freqq.report.evidence import Evidence

FORMATS = ("html", "md", "csv", "json", "latex")
TABLES = ("md", "latex")
"""The formats whose columns can be chosen."""
SUFFIXES = {".html": "html", ".htm": "html", ".md": "md", ".csv": "csv", ".json": "json", ".tex": "latex"}


@dataclass(frozen=True)
class Evaluation:
    """A run: what was answered, and what it shows.

    Parameters
    ----------
    directory : str or Path
        The run directory, of `evaluate` or ``freqq eval``.
    """

    directory: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "directory", Path(self.directory))

    @property
    def rows(self) -> "pa.Table":
        """One row for each sample and arm, as in ``results.parquet``; examples/formats.md explains the columns.

        Raises
        ------
        UserError
            If the run is not finished, or its parts are not merged.
        """
        from freqq.runs.directory import RunDirectory

        return RunDirectory(self.directory).table()

    def to_pandas(self) -> "pd.DataFrame":
        """`rows` as a data frame.

        Raises
        ------
        UserError
            If pandas, which freqq does not need, is not installed; or as `rows` does.
        """
        try:
            import pandas  # noqa: F401 - pyarrow would fail less clearly
        except ModuleNotFoundError as error:
            raise UserError(
                "to_pandas needs pandas: pip install pandas; rows, an Arrow table, needs nothing"
            ) from error
        return self.rows.to_pandas()

    @property
    def summary(self) -> dict[str, Any]:
        """What the run shows, as ``freqq eval --json`` prints it: a headline, and a group for each method and level."""
        from freqq.report.evidence import gather
        from freqq.report.formats import summary

        return summary(gather([self.directory]))

    def report(self, out: str | Path | None = None, format: str | None = None, columns: Sequence[str] = ()) -> str:
        """The report of ``freqq report``, as text; also written to a file if `out` is given.

        Parameters
        ----------
        out : str or Path, optional
            The file; its ending tells the format.
        format : str, optional
            html (the default), md, csv, json or latex.
        columns : sequence of str
            Columns of a table as md or latex.

        Raises
        ------
        UserError
            If there is no such format, it has no columns to choose, or the file cannot be written.
        """
        target = None if out is None else Path(out)
        chosen = format_of(format, target, columns)
        text, _ = document([self.directory], chosen, columns)
        if target is not None:
            write_whole(target, lambda path: path.write_text(text, encoding="utf-8"))
        return text


def _log(text: str) -> None:
    import logging

    logging.getLogger("freqq").warning(text)


def evaluate(
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    note: Callable[[str], None] = _log,
    **options: Any,
) -> Evaluation:
    """Score a model on chats that it reads as page images, with and without compression, on the same samples.

    Does what ``freqq eval`` does, with the same options: ``--max-new-tokens 64`` is ``max_new_tokens=64``. The same
    call again continues a run that was stopped, and with a larger ``limit`` adds to it.

    >>> import freqq
    >>> result = freqq.evaluate(method="token-prune", level=["mild", "extreme"], limit=20)
    >>> result.summary["headline"]
    >>> result.rows.group_by(["method", "level"]).aggregate([("score", "mean")])
    >>> result.report("report.html")

    Parameters
    ----------
    progress : callable
        Called with the answers that are there and that there will be.
    note : callable
        Told, in a sentence, what a user should know meanwhile; by default the logger ``freqq``.
    options
        Those of ``freqq eval``, whose help explains them; `freqq.runs.options.EvalOptions` has their types.

    Raises
    ------
    TypeError
        If there is no such option.
    UserError
        If a value is wrong; before the model is loaded.
    Interrupted
        If it was stopped. What was answered is stored.
    FreqqError
        If every answer failed, or the disk is full.
    """
    from freqq.runs.checkup import check_packages

    check_packages()
    asked = EvalOptions(**options)
    settings, part, machine = asked.settings(), asked.part(), asked.machine()

    from freqq.report.evidence import gather
    from freqq.report.formats import write_summary
    from freqq.runs.run import run

    path = run(
        settings,
        asked.folder(),
        machine=machine,
        shard=part,
        retry_failed=asked.retry_failed,
        progress=progress,
        note=note,
    )
    if part is None:
        write_summary(path, gather([path]))
    return Evaluation(path)


def _signature() -> inspect.Signature:
    """The options by name, for help() and completion."""
    own = [p for p in inspect.signature(evaluate).parameters.values() if p.kind is p.KEYWORD_ONLY]
    options = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type)
        for f in fields(EvalOptions)
    ]
    return inspect.Signature([*options, *own], return_annotation=Evaluation)


evaluate.__signature__ = _signature()  # type: ignore[attr-defined]


def compare(*runs: Evaluation | str | Path, reference: str | None = None) -> "Evidence":
    """Compare the arms of several runs on the samples that they share, as ``freqq compare`` does.

    >>> freqq.compare("runs/plain", "runs/tokens", reference="token/mild").headline

    Parameters
    ----------
    runs : Evaluation, str or Path
        What `evaluate` returned, or run directories.
    reference : str, optional
        What the others are compared with: ``METHOD/LEVEL`` or ``baseline`` of the first run, ``RUN:METHOD/LEVEL``, or
        ``RUN`` for its baseline; by default the first baseline.

    Raises
    ------
    UserError
        If there is no such run or reference.
    """
    from freqq.report.evidence import join

    return join([run.directory if isinstance(run, Evaluation) else Path(run) for run in runs], reference)


def format_of(format: str | None, out: Path | None, columns: Sequence[str] = ()) -> str:
    """The format that is asked for, or that a file's name tells; html if neither does.

    Raises
    ------
    UserError
        If it is unknown or cannot show a choice of columns, or the file cannot be written.
    """
    if format is not None and format not in FORMATS:
        raise unknown("format", format, FORMATS)
    if format is None and out is not None and out.suffix.lower() not in SUFFIXES:
        raise UserError(f"--out {out}: its name does not tell the format; give --format {', '.join(FORMATS)}")
    if out is not None:
        if out.is_dir():
            raise UserError(f"--out {out} is a folder: give a file name")
        check_writable(out.parent)
    chosen = format or ("html" if out is None else SUFFIXES[out.suffix.lower()])
    if columns and chosen not in TABLES:
        raise UserError(f"--columns is for the formats {' and '.join(TABLES)}, not {chosen}")
    return chosen


def document(
    runs: Sequence[Path], format: str, columns: Sequence[str] = (), helped: bool = False
) -> tuple[str, tuple[str, ...]]:
    """The report of some runs, and notes on what was left out.

    Parameters
    ----------
    helped : bool
        Whether another process makes the examples meanwhile. That runs the main program's file again, as those of
        multiprocessing do, so it is for programs that are known to allow it.
    """
    if format != "html":
        from freqq.report.evidence import read_runs, weigh
        from freqq.report.formats import write as written

        results, notes = read_runs(runs)
        return written(weigh(results, notes), format, columns), tuple(notes)

    # Read when numpy is loaded. A second thread gains nothing in products as small as these, and would wait in the core
    # on which the examples are made.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from freqq.report.html.examples import ExampleProcess

    with ExampleProcess(helped) as process:
        from freqq.report.evidence import pairs, read_runs, weigh
        from freqq.report.html.page import html

        results, notes = read_runs(runs)
        process.ask(pairs(results))
        return html(weigh(results, notes), process.examples), tuple(notes)
