"""Methods by name, and parameters from text."""

import dataclasses
import json
from typing import Optional

import pytest

from freqq.errors import UserError
from freqq.levels import LEVELS
from freqq.runs.methods import METHODS, check_overrides, method_at, parameters, params_json, parse


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("level", LEVELS[1:])
def test_every_method_has_every_level_and_its_parameters_survive_as_text(name, level):
    method = method_at(name, level, {})
    assert dataclasses.is_dataclass(method)
    text = {n: _as_text(v) for n, v in json.loads(params_json(method)).items()}
    assert method_at(name, level, text) == method


def _as_text(value):
    return ",".join(map(str, value)) if isinstance(value, list) else str(value).lower() if value is None else str(value)


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("3", int, 3),
        ("0.5", float, 0.5),
        ("1", float, 1.0),
        ("TRUE", bool, True),
        ("false", bool, False),
        ("8, 4,2", tuple[int, int, int], (8, 4, 2)),
        ("1,2,3,4", tuple[float, ...], (1.0, 2.0, 3.0, 4.0)),
        ("none", int | None, None),
        ("7", Optional[int], 7),  # noqa: UP045
        ("none", str, "none"),
    ],
)
def test_text_becomes_the_fields_type(text, hint, value):
    parsed = parse("p", text, hint)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [("x", int), ("1.5", int), ("", float), ("yes", bool), ("8,4", tuple[int, int, int]), ("8,4,x", tuple[int, ...])],
)
def test_text_that_is_no_such_value_is_refused_by_name(text, hint):
    with pytest.raises(UserError, match="parameter keep"):
        parse("keep", text, hint)


def test_an_override_goes_to_the_methods_that_have_it():
    own = {name: set(parameters(cls)) for name, cls in METHODS.items()}
    assert "bits" in own["token"]
    assert "keep" in own["image"]
    check_overrides(("image", "token"), {"bits": "8,4,2", "keep": "0.3"})
    assert method_at("image", "mild", {"bits": "8,4,2", "keep": "0.3"}) == method_at("image", "mild", {"keep": "0.3"})


def test_unknown_names_are_refused_and_the_nearest_suggested():
    with pytest.raises(UserError, match="did you mean 'keep'"):
        check_overrides(("image",), {"kep": "0.3"})
    with pytest.raises(UserError, match="did you mean 'token'"):
        check_overrides(("tokn",), {})
