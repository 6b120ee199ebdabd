"""``freqq methods``: list the methods, or show the card of one."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from freqq.cli.command import argument
from freqq.cli.options import Json, method_names

if TYPE_CHECKING:
    from freqq.runs.cards import Card

Name = Annotated[str | None, argument("NAME", "The method whose card to show.", method_names, show_default=False)]


def methods(name: Name = None, as_json: Json = False) -> None:
    """List the methods, their parameters at the four levels, and where they come from; or show the card of one.

    Example: freqq methods token-prune
    """
    from freqq.runs.cards import as_json as plain
    from freqq.runs.cards import card, cards

    if name is not None and "+" in name:
        first, _, second = name.partition("+")
        found = [card(first), card(f"token-{second}")]
    else:
        found = cards() if name is None else [card(name)]
    if as_json:
        one = name is not None and len(found) == 1
        typer.echo(json.dumps(plain(found[0]) if one else [plain(each) for each in found], indent=2))
    elif name is None:
        _list(found)
    else:
        for each in found:
            _show(each)


def _list(found: "list[Card]") -> None:
    from rich import box
    from rich.table import Table

    from freqq.cli.printing import console_for

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    for column in ("method", "what it does", "ultra_mild / mild / aggressive / extreme", "source"):
        table.add_column(column, no_wrap=column == "method", overflow="fold")
    for card in found:
        table.add_row(card.name, card.idea, _levels(card), " ".join(card.sections.get("Source", "").split()))
    from freqq.glm.families import served

    console = console_for(160, highlight=False)
    console.print(table, markup=False)
    console.print(
        "baseline, the fifth level, touches nothing. freqq methods NAME shows formula, parameters and measurements.\n"
        "All methods work with all models that freqq doctor lists; token-vq and +vq need a codebook of the model's "
        "tokens, which freqq codebook train --tokens makes.\n"
        f"Token methods work within vLLM (freqq serve --engine vllm) with {', '.join(served())}.",
        soft_wrap=True,
        highlight=False,
    )


def _levels(card: "Card") -> str:
    """A line per parameter with its values at the levels, or its only value."""
    lines = []
    for parameter in card.parameters:
        values = [_value(level[parameter.name]) for level in card.levels.values()]
        lines.append(f"{parameter.name} {values[0] if len(set(values)) == 1 else ' / '.join(values)}")
    return "\n".join(lines)


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_value, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _show(card: "Card") -> None:
    from rich.text import Text

    from freqq.cli.printing import console_for

    console = console_for(160, highlight=False)
    parts = [Text(card.name, "bold"), Text(f"{card.idea}\n\n{card.text}".strip())]
    for heading, text in card.sections.items():
        parts += [Text(heading, "bold"), Text(text)]
        if heading == "Parameters":
            parts += [Text("Levels (ultra_mild / mild / aggressive / extreme)", "bold"), Text(_levels(card) or "None.")]
    for part in parts:
        # Not wrapped: that would break tables of measurements.
        console.print(part, soft_wrap=True, end="\n\n" if part.style != "bold" else "\n")
