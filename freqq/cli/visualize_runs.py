"""``freqq visualize``: figures of what runs, tables and benches show."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freqq.cli.command import argument, option
from freqq.cli.figure_files import STANDARD_OUTPUT, NamedOut, target_file, write_figure
from freqq.cli.options import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freqq.report.resolution import Point


COSTS = ("tokens", "image-bytes", "token-bytes")


def pareto(
    tables: Annotated[
        list[Path],
        argument(
            "TABLE",
            "Run directories, their results.parquet, or the pages.parquet of 'freqq compress-image --ocr'.",
            show_default=False,
        ),
    ],
    out: NamedOut = Path("pareto.png"),
) -> None:
    """Legibility and score against bytes, of all codecs and levels in some tables.

    Runs must be of the same model, data, rendering and protocol.

    Example: freqq visualize pareto compressed/pages.parquet runs/one/results.parquet --out pareto.png
    """
    from freqq.errors import UserError
    from freqq.image.batch import read_rows
    from freqq.report import pareto as figure
    from freqq.report.results import read_results
    from freqq.runs.directory import RESULTS, RUN, RunDirectory

    target = target_file(out)
    legibility, scores, runs = [], [], []
    for table in tables:
        run = table.parent if table.name == RESULTS else table
        if not (table.is_file() or (run / RESULTS).is_file()):
            raise UserError(f"there is no file {table}")
        if (run / RUN).is_file():
            runs.append(read_results(run))
            if note := runs[-1].note:
                typer.echo(f"note: {note}", err=True)
        if (run / RESULTS).is_file():
            scores += RunDirectory(run).table().select(figure.SCORED).to_pylist()
            continue
        rows = read_rows(table)
        legibility += [row for row in rows if "cer" in row and "codec" in row]
        scores += [row for row in rows if "score" in row]
    figure.check_comparable(runs)
    points = figure.legibility_points(legibility), figure.score_points(scores)
    if not any(points):
        raise UserError("these tables have neither legibility (compress-image --ocr) nor scores of a run")
    write_figure(target, figure.pareto(*points, "What a page's bytes buy"))


def throughput(
    bench: Annotated[Path, argument("BENCH.parquet", "The output of 'freqq bench --out'.", show_default=False)],
    run: Annotated[Path, argument("RUN", "A run directory with scores of the same methods.", show_default=False)],
    out: NamedOut = Path("throughput.png"),
) -> None:
    """Score against throughput of the methods that were both measured by 'freqq bench' and scored by 'freqq eval'.

    Example: freqq visualize throughput bench.parquet runs/one --out throughput.png
    """
    from freqq.bench import figure
    from freqq.errors import UserError
    from freqq.image.batch import read_rows
    from freqq.report.statistics import mean_estimate
    from freqq.runs.directory import RESULTS

    target = target_file(out)
    for path in (bench, run / RESULTS):
        if not path.is_file():
            raise UserError(f"there is no file {path}")
    turns, rows = figure.turns_of(read_rows(bench)), read_rows(run / RESULTS)
    figure.check_parameters(rows, turns)
    scores = {key: mean_estimate(values) for key, values in figure.scores_of(rows).items()}
    points = figure.points(turns, {k: (e.mean, e.low, e.high) for k, e in scores.items()})
    write_figure(target, figure.throughput(points, "What throughput costs"))


def resolution(
    runs: Annotated[
        list[Path],
        argument(
            "RUN",
            "Run directories of one model on the same samples at several values of --dpi, each with its baseline.",
            show_default=False,
        ),
    ],
    out: NamedOut = Path("resolution.png"),
    cost: Annotated[
        str, option("--cost", "NAME", "The horizontal axis: tokens, image-bytes or token-bytes.", offered=COSTS)
    ] = "tokens",
    csv: Annotated[Path | None, option("--csv", "FILE", "Also write the numbers as CSV.")] = None,
    as_json: Json = False,
) -> None:
    """Score against tokens: do methods lose less than drawing the page smaller?

    Prints each method's difference from plain pages at the resolution of the same cost, paired sample by sample.

    Example: freqq visualize resolution runs/dpi-72 runs/dpi-96 runs/dpi-144 --out resolution.png
    """
    from freqq.cli.printing import print_json
    from freqq.errors import UserError
    from freqq.files import check_file, write_whole
    from freqq.report import resolution as figure
    from freqq.report.evidence import read_runs

    target = target_file(out)
    if as_json and target == STANDARD_OUTPUT:
        raise UserError("--json and --out - both need standard output: leave out one of them")
    if csv is not None:
        check_file(csv, "--csv")
    results, notes = read_runs(runs)
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    points = figure.resolution_points(results, cost)
    if at := figure.unmeasured(points):
        typer.echo(
            f"note: scores of plain pages are interpolated at {', '.join(f'{dpi:g}' for dpi in at)} dpi, which favors "
            "a method where the curve bends: run freqq eval --level baseline with each of these --dpi to be sure",
            err=True,
        )
    if as_json:
        print_json([point.as_json() for point in points])
    elif target != STANDARD_OUTPUT:
        _show(points)
    if csv is not None:
        write_whole(csv, lambda path: path.write_text(figure.as_csv(points), encoding="utf-8"))
    write_figure(target, figure.resolution(points, cost, "Methods beside pages drawn smaller"), quiet=as_json)


def _show(points: "Sequence[Point]") -> None:
    from freqq.cli.printing import show
    from freqq.report.wording import count, estimate, p_value

    rows = [
        (
            ", ".join(dict.fromkeys((p.method, p.level))), f"{p.dpi:g}", count(p.cost), estimate(p.score),
            "" if p.equal_dpi is None else f"{p.equal_dpi:.0f} dpi",
            "" if p.difference is None else estimate(p.difference, signed=True),
            "" if p.p_value is None else p_value(p.p_value),
        )
        for p in points
    ]  # fmt: skip
    columns = ("method, level", "dpi", "cost", "score", "as plain at", "difference", "p (Holm)")
    note = "as plain at: resolution at which plain pages cost the same; difference: to plain pages at that resolution"
    show("Methods compared with pages drawn smaller", columns, rows, note)
