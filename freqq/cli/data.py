"""``freqq data``: describe data sets."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from freqq.cli.command import argument, option
from freqq.cli.options import Json, Look, SkipBad

if TYPE_CHECKING:
    from freqq.data.dataset import DataSet
    from freqq.data.describe import Description

app = typer.Typer(help="List data sets, or describe one.", no_args_is_help=True)

Name = Annotated[str, argument("NAME|PATH", "mini, mrcr, ruler, ruler-mini, or a file or folder.", show_default=False)]
Limit = Annotated[int | None, option("--limit", "N", "Read only the first N samples of each needle count.", min=1)]
SHOWN = 400
"""Characters of the example's texts to print."""


@app.callback()
def data() -> None:
    """Commands about data sets."""


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the data sets that can be named, the formats of files, and the tasks with their parts.

    Example: freqq data list
    """
    from freqq.data.load import DESCRIBED
    from freqq.data.tasks import TASKS

    if as_json:
        import json

        values = {
            "data": [{"name": name, "description": what} for name, what in DESCRIBED.items()],
            "tasks": [{"name": t.name, "description": t.summary, "subtasks": t.subtasks} for t in TASKS.values()],
        }
        typer.echo(json.dumps(values, indent=2))
        return
    from freqq.cli.printing import show_values

    show_values("What --data takes", list(DESCRIBED.items()), "freqq data info NAME|PATH tells what is in one.")
    tasks = [(task.name, f"{task.summary}{_parts(task.subtasks)}") for task in TASKS.values()]
    show_values(
        "What --task takes: a task, or a part of it",
        tasks,
        "Without --task: what the data are made for; chats without questions are transcribed.",
    )


def _parts(names: tuple[str, ...]) -> str:
    return f": {', '.join(names)}" if names else ""


@app.command()
def info(
    name: Name,
    look: Look = None,
    limit: Limit = None,
    skip_bad: SkipBad = False,
    as_json: Json = False,
) -> None:
    """Count a data set's samples by needles and length of context, show how long its chats are, and one sample.

    Example: freqq data info mini
    """
    from freqq.cli.progress import counted, note_skipped
    from freqq.data.describe import describe
    from freqq.data.load import load

    found = load(name, skip_bad, look)
    described = describe(found, limit, lambda samples: counted(samples, None, "reading"))
    if as_json:
        _print_json(found, described)
    else:
        _print_tables(found, described)
    note_skipped(found.skipped)


def _print_json(data: "DataSet", described: "Description") -> None:
    import json

    values: dict[str, Any] = {
        "name": data.name,
        "format": data.format,
        "revision": data.revision,
        "task": data.task,
        "needles": data.needles,
        "chats": sum(described.counts.values()),
        "skipped": [asdict(file) for file in data.skipped],
        "counts": [{"needles": n, "bin": b, "samples": c} for (n, b), c in described.counts.items()],
        "bin_sources": described.bin_sources,
        "lengths": {what: asdict(spread) for what, spread in described.lengths.items()},
        "example": asdict(described.example),
    }
    typer.echo(json.dumps(values, indent=2, default=str))


def _print_tables(data: "DataSet", described: "Description") -> None:
    from freqq.cli.printing import show
    from freqq.data.bins import BEYOND, BINS

    order = [*BINS, BEYOND]
    bins = sorted({b for _, b in described.counts}, key=lambda b: order.index(b) if b in order else -1)
    needles = sorted({n for n, _ in described.counts})
    counts = [[described.counts.get((n, b), 0) for b in bins] for n in needles]
    source = " and ".join(described.bin_sources)
    show(
        f"{data.name}: {data.format} data for the task {data.task}, revision {data.revision}",
        ("needles", *bins, "all"),
        [(str(n), *map(str, row), str(sum(row))) for n, row in zip(needles, counts, strict=True)],
        f"{sum(map(sum, counts)):,} chats; context length by {source}",
    )
    show(
        "Length of a chat; tokens are estimated",
        ("", "min", "median", "mean", "max"),
        [(what, *(f"{value:,.0f}" for value in asdict(s).values())) for what, s in described.lengths.items()],
        "",
    )
    example = described.example
    typer.echo(f"example {example.id}")
    for turn in example.turns[:2]:
        typer.echo(f"  {turn.role or 'text'}: {_start(turn.text)}")
    if len(example.turns) > 2:
        typer.echo(f"  ... {len(example.turns) - 2} more messages")
    if example.question:
        typer.echo(f"  question: {_start(example.question)}\n  answer: {_start(example.answer)}")


def _start(text: str) -> str:
    """The beginning of a text, on one line, without control characters."""
    plain = "".join(c if c.isprintable() else " " for c in text[:SHOWN])
    return plain + ("..." if len(text) > SHOWN else "")
