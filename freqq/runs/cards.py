"""Method cards: what a method is, read from its docstring, its fields, its levels, and what was measured of it."""

import dataclasses
import inspect
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from freqq.image import CODECS
from freqq.image.base import ImageCodec
from freqq.levels import LEVELS
from freqq.runs.methods import canonical, method_class
from freqq.tokens import COMPRESSORS

SECTIONS = ("Formula", "Parameters", "Source", "Measured")
"""What every card has, in this order, after its first line and what explains it."""

MEASURED = Path(__file__).with_name("measured.json")
"""For each kind of method what was measured, by which command, and a table of text a method."""

HEADING = re.compile(r"^(\w+)\n-{3,}$", re.MULTILINE)
PARAMETER = re.compile(r"^(\w+(?:, \w+)*) : (.+)$")


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of a method: its name, its default value, its type and range in words, and what it is."""

    name: str
    default: object
    type: str
    text: str


@dataclasses.dataclass(frozen=True)
class Card:
    """What there is to know of a method.

    Parameters
    ----------
    name, kind : as a user types it; ``image`` or ``token``
    idea : the first line
    text : what explains it
    sections : by heading, those of `SECTIONS`
    parameters : in the order of the fields
    levels : of every level but ``baseline``, all parameters' values
    """

    name: str
    kind: str
    idea: str
    text: str
    sections: Mapping[str, str]
    parameters: tuple[Parameter, ...]
    levels: Mapping[str, Mapping[str, object]]


def cards() -> list[Card]:
    """The cards of all methods, second names left out, the image methods first."""
    return [card(name) for name in (*CODECS.usable(), *COMPRESSORS.usable()) if canonical(name) == name]


def card(name: str) -> Card:
    """The card of a method.

    Raises
    ------
    UserError
        If there is no such method; the nearest is suggested.
    """
    cls = method_class(name)
    lead, own = split_sections(inspect.getdoc(cls) or "")
    idea, _, text = lead.partition("\n")
    described: dict[str, tuple[str, str]] = {}
    for base in reversed(cls.__mro__):  # a parameter that a base brings is described there
        described |= _described(split_sections(inspect.cleandoc(base.__doc__ or ""))[1].get("Parameters", ""))
    fields = [field for field in dataclasses.fields(cls) if field.init]
    parameters = tuple(Parameter(f.name, f.default, *described.get(f.name, ("", ""))) for f in fields)
    shown = "\n".join(f"{p.name} : {p.type}\n    {p.text}" for p in parameters) or "None."
    defaults = {parameter.name: parameter.default for parameter in parameters}
    levels = {level: {**defaults, **cls.LEVELS[level]} for level in LEVELS[1:]}
    kind = "image" if issubclass(cls, ImageCodec) else "token"
    sections = own | {"Parameters": shown, "Measured": _measured(kind, canonical(name))}
    sections = {heading: sections[heading] for heading in SECTIONS if sections.get(heading)}
    return Card(canonical(name), kind, idea, text.strip(), sections, parameters, levels)


@cache
def _all_measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(MEASURED.read_text("utf-8"))
    return found


def _measured(kind: str, name: str) -> str:
    """What was measured of a method; nothing of one that another package or program added."""
    of = _all_measured()[kind]
    table = "".join(f"\n    {line}" for line in of["methods"].get(name, ()))
    return table and f"{of['about']}\nBy {of['command']}:\n{table}"


def split_sections(docstring: str) -> tuple[str, dict[str, str]]:
    """What comes before the first heading, and what is under each; headings are underlined with hyphens."""
    lead, *rest = HEADING.split(docstring)
    return lead.strip(), {heading: text.strip("\n") for heading, text in zip(rest[::2], rest[1::2], strict=True)}


def as_json(found: Card) -> dict[str, Any]:
    """A card as JSON's types."""
    return dataclasses.asdict(found)


def _described(text: str) -> dict[str, tuple[str, str]]:
    """Of each parameter in a section of them, its type and what it is."""
    found: dict[str, tuple[str, str]] = {}
    names: list[str] = []
    for line in text.splitlines():
        if heading := PARAMETER.match(line):
            names = heading[1].split(", ")
            found |= dict.fromkeys(names, (heading[2], ""))
        else:
            found |= {name: (found[name][0], f"{found[name][1]} {line.strip()}".strip()) for name in names}
    return found
