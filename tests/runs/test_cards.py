"""Method cards: complete, about the parameters that there are, and of the numbers that the documents have."""

import dataclasses
import re
from pathlib import Path

import pytest

from freqq.errors import UserError
from freqq.levels import LEVELS
from freqq.runs.cards import SECTIONS, card, cards, split_sections
from freqq.runs.methods import METHODS, canonical

ROOT = Path(__file__).parents[2]
NUMBER = re.compile(r"[+-]?\d*\.?\d+")


def documented():
    """The rows of the documents' tables of measurements by method and level, as numbers in their order."""
    rows = {}
    for path in (ROOT / "README.md", *sorted((ROOT / "examples").glob("*.md"))):
        for line in path.read_text().splitlines():
            if found := re.match(r"\| `([\w+-]+)`, (\w+) \|(.*)", line):
                rows.setdefault((found[1], found[2]), []).append(NUMBER.findall(found[3].replace(",", "")))
    return rows


def is_within(few, many):
    """Whether one list is another with some of its elements left out."""
    rest = iter(many)
    return all(one in rest for one in few)


def test_there_is_a_card_for_every_method():
    assert [found.name for found in cards()] == [name for name in METHODS if canonical(name) == name]
    assert card("image-dct") == card("image")
    with pytest.raises(UserError, match="did you mean 'token-prune'"):
        card("token-prun")


@pytest.mark.parametrize("found", cards(), ids=lambda found: found.name)
def test_a_card_is_complete(found):
    assert tuple(found.sections) == SECTIONS
    assert all(text.strip() for text in (found.idea, *found.sections.values()))
    assert found.idea.endswith(".")
    assert found.kind == found.name.split("-")[0]
    assert {parameter.name for parameter in found.parameters} == {
        field.name for field in dataclasses.fields(METHODS[found.name]) if field.init
    }
    assert all(parameter.type and parameter.text.endswith(".") for parameter in found.parameters)
    assert tuple(found.levels) == LEVELS[1:]


@pytest.mark.parametrize("found", cards(), ids=lambda found: found.name)
def test_what_a_card_says_was_measured_is_what_the_documents_say(found):
    rows = documented()
    name = "dct" if found.name == "image" else found.name.removeprefix("image-")
    table = [line.split() for line in found.sections["Measured"].splitlines() if line.startswith("    ")]
    levels = [row[0] for row in table[1:]]
    assert table[0][0] == "level"
    assert levels
    assert levels == [level for level in LEVELS if level in levels]
    for level, *values in table[1:]:
        numbers = NUMBER.findall(" ".join(values).replace(",", ""))
        assert len(numbers) > 6
        assert any(is_within(numbers, row) for row in rows[name, level]), (level, numbers)


def test_sections_are_split_at_underlined_headings():
    lead, sections = split_sections("One line.\n\nMore.\n\nFormula\n-------\na = b\n\nSource\n------\nNone.")
    assert lead == "One line.\n\nMore."
    assert sections == {"Formula": "a = b", "Source": "None."}
    assert split_sections("") == ("", {})
