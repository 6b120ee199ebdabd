"""``freqq leaderboard``: all arms of all runs in a folder, best first."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from freqq.cli.command import argument, option
from freqq.cli.options import Json

if TYPE_CHECKING:
    from freqq.report.leaderboard import Board

SORTS = ("score", "macro", "retention", "difference", "tokens", "token-bytes", "image-bytes", "exact")


def leaderboard(
    folder: Annotated[Path, argument("DIR", "The folder that contains the run directories.")] = Path("runs"),
    sort: Annotated[
        str, option("--sort", "BY", f"{', '.join(SORTS)}. Rates are sorted from the lowest.", offered=SORTS)
    ] = "score",
    least: Annotated[
        int,
        option("--min-samples", "N", "Leave out runs that share fewer samples, and arms with fewer answers.", min=1),
    ] = 10,
    as_json: Json = False,
) -> None:
    """Rank the arms of all runs in a folder, with their rates.

    Each arm has one row, ranked on the samples that runs of the same model, data, rendering, protocol, needle count
    and size share; failed answers count as 0. An arm shares the rank of a better one, marked by =, if the interval of
    either holds the other.

    Example: freqq leaderboard runs --sort retention
    """
    from freqq.cli.printing import console_for
    from freqq.cli.progress import busy, note
    from freqq.report.leaderboard import boards
    from freqq.report.tables import show_board

    with busy("comparing the runs"):
        found, notes = boards(folder, sort, least)
    if as_json:
        typer.echo(json.dumps([_as_json(board) for board in found], indent=2, allow_nan=False))
    else:
        console = console_for(80, highlight=False)
        for board in found:
            show_board(board, console)
    for text in notes:
        note(text)


def _as_json(board: "Board") -> dict[str, Any]:
    from freqq.report.formats import records

    facts = {name: getattr(board.run, name) for name in (
        "task", "model", "model_revision", "dtype", "data", "data_revision", "protocol",
    )}  # fmt: skip
    lines = records([place.comparison for place in board.places])
    ranks = ({"rank": p.rank, "tied": p.tied, "runs": list(p.runs)} for p in board.places)
    return facts | {
        "title": board.title,
        "needles": board.needles,
        "n": board.n,
        "places": [a | b for a, b in zip(ranks, lines, strict=True)],
    }
