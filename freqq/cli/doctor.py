"""``freqq doctor``: check the installation."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from freqq.cli.options import Json

if TYPE_CHECKING:
    from freqq.runs.checkup import Finding

COLOURS = {"ok": "green", "missing": "yellow", "broken": "red"}


def doctor(as_json: Json = False) -> None:
    """Show versions, devices, memory, fonts and codebooks, what is missing, and how to get it.

    Exits with 1 if something is broken that every command needs; what is only missing is optional.

    Example: freqq doctor --json
    """
    from freqq.errors import FreqqError
    from freqq.runs.checkup import BROKEN, checkup

    found = checkup()
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        _show(found)
    if broken := [finding for finding in found if finding.state == BROKEN]:
        raise FreqqError(f"broken: {broken[0].name} ({broken[0].remedy}){_more(len(broken) - 1)}")


def _show(found: "list[Finding]") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from freqq.cli.printing import console_for

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("what", "state", "found"):
        table.add_column(column, overflow="fold")
    topic = found[0].topic
    for finding in found:
        if finding.topic != topic:
            table.add_section()
            topic = finding.topic
        text = finding.found + (f"\n-> {finding.remedy}" if finding.remedy else "")
        table.add_row(Text(finding.name), Text(finding.state, COLOURS[finding.state]), Text(text))
    console_for(160, highlight=False).print(table)


def _more(count: int) -> str:
    return f", and {count} more" if count else ""
