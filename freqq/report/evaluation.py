"""Evaluation from Python: ``freqq eval``, ``freqq report`` and ``freqq compare`` as functions."""

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqq.errors import UserError
from freqq.files import check_writable, write_whole
from freqq.names import several, unknown
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
    """A run with its rows, summary and report.

    Parameters
    ----------
    directory : str or Path
        The run directory of `evaluate` or ``freqq eval``.
    """

    directory: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "directory", Path(self.directory))

    @property
    def rows(self) -> "pa.Table":
        """One row per sample and arm, as in ``results.parquet``; examples/formats.md explains the columns.

        Raises
        ------
        UserError
            If the run is not finished, or its parts are not merged.
        """
        from freqq.report.run_folders import check_merged
        from freqq.runs.directory import RunDirectory

        check_merged(self.directory)
        return RunDirectory(self.directory).table()

    def to_pandas(self) -> "pd.DataFrame":
        """`rows` as a data frame.

        Raises
        ------
        UserError
            If pandas, which freqq does not require, is not installed; or as for `rows`.
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
        """The output of ``freqq eval --json``: a headline, and a group for each method and level."""
        from freqq.report.evidence import gather
        from freqq.report.formats import summary

        return summary(gather([self.directory]))

    def report(self, out: str | Path | None = None, format: str | None = None, columns: Sequence[str] = ()) -> str:
        """The report of ``freqq report`` as text, also written to a file if `out` is given.

        Parameters
        ----------
        out : str or Path, optional
            The file; its suffix determines the format.
        format : str, optional
            html (the default), md, csv, json or latex.
        columns : sequence of str
            Columns of a table in md or latex.

        Raises
        ------
        UserError
            If there is no such format, it has no columns to choose, or the file cannot be written.
        """
        target = None if out is None else Path(out)
        shown = several("columns", columns)
        chosen = format_of(format, target, shown)
        text, _ = document([self.directory], chosen, shown)
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

    Like ``freqq eval``, with the same options: ``--max-new-tokens 64`` is ``max_new_tokens=64``. Repeating the call
    resumes a stopped run; a larger ``limit`` extends it.

    >>> import freqq
    >>> result = freqq.evaluate(method="token-prune", level=["mild", "extreme"], limit=20)
    >>> result.summary["headline"]
    >>> result.rows.group_by(["method", "level"]).aggregate([("score", "mean")])
    >>> result.report("report.html")

    Parameters
    ----------
    progress : callable
        ``progress(done, total)``, called with numbers of answers.
    note : callable
        Called with one-sentence messages for the user; by default they go to the logger ``freqq``.
    options
        The options of ``freqq eval``, see its help; `freqq.runs.options.EvalOptions` has their types.

    Raises
    ------
    TypeError
        If there is no such option.
    UserError
        If a value is wrong; before the model is loaded.
    Interrupted
        If it was stopped. Finished answers are stored.
    FreqqError
        If every answer failed, or the disk is full.
    """
    from freqq.runs.checkup import check_packages

    check_packages()
    given = EvalOptions(**options)
    settings, part, machine = given.settings(), given.part(), given.machine()

    from freqq.report.evidence import gather
    from freqq.report.formats import write_summary
    from freqq.runs.run import run

    path = run(
        settings,
        given.folder(),
        machine=machine,
        shard=part,
        retry_failed=given.retry_failed,
        progress=progress,
        note=note,
    )
    if part is None:
        write_summary(path, gather([path]))
    return Evaluation(path)


def _signature() -> inspect.Signature:
    """The signature with all options, for help() and completion."""
    own = [p for p in inspect.signature(evaluate).parameters.values() if p.kind is p.KEYWORD_ONLY]
    options = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type)
        for f in fields(EvalOptions)
    ]
    return inspect.Signature([*options, *own], return_annotation=Evaluation)


evaluate.__signature__ = _signature()  # type: ignore[attr-defined]


def compare(*runs: Evaluation | str | Path, reference: str | None = None) -> "Evidence":
    """Compare the arms of several runs on the samples that they share, like ``freqq compare``.

    >>> freqq.compare("runs/plain", "runs/tokens", reference="token/mild").headline

    Parameters
    ----------
    runs : Evaluation, str or Path
        Results of `evaluate`, or run directories.
    reference : str, optional
        The arm to compare with: ``METHOD/LEVEL`` or ``baseline`` of the first run, ``RUN:METHOD/LEVEL``, or ``RUN`` for
        its baseline; by default the first baseline.

    Raises
    ------
    UserError
        If there is no such run or reference.
    """
    from freqq.report.evidence import join

    return join([run.directory if isinstance(run, Evaluation) else Path(run) for run in runs], reference)


def format_of(format: str | None, out: Path | None, columns: Sequence[str] = ()) -> str:
    """The given format, or that of a file's suffix; html by default.

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
    runs: Sequence[Path], format: str, columns: Sequence[str] = (), spawn: bool = False
) -> tuple[str, tuple[str, ...]]:
    """The report of some runs, and notes on what was left out.

    Parameters
    ----------
    spawn : bool
        Whether a second process makes the examples in parallel. Like any spawned process of multiprocessing it imports
        the main program's file again, so only use it for programs that allow that.
    """
    if format != "html":
        from freqq.report.evidence import compare_results, read_runs
        from freqq.report.formats import write

        results, notes = read_runs(runs)
        return write(compare_results(results, notes), format, columns), tuple(notes)

    # Read when numpy is loaded. A second thread gains nothing in products this small, and would compete with the
    # process that makes the examples.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from freqq.report.html.examples import ExampleProcess

    with ExampleProcess(spawn) as process:
        from freqq.report.evidence import compare_results, pairs, read_runs
        from freqq.report.html.page import html

        results, notes = read_runs(runs)
        process.start(pairs(results))
        return html(compare_results(results, notes), process.examples), tuple(notes)
