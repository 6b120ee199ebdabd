"""constraints.txt pins what pyproject.toml asks for: results are to be the same to the last digit."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ASKED = [
    requirement
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for requirement in map(Requirement, group)
    # One group that holds another; and the engine, which has an environment and pins of its own.
    if requirement.name not in (PROJECT["name"], "vllm")
]
LINES = [
    line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line[:1] not in ("", "#")
]
PINS = {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in LINES)}


@pytest.mark.parametrize("requirement", ASKED, ids=lambda requirement: requirement.name)
def test_every_dependency_is_pinned_to_a_version_that_will_do(requirement):
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def test_every_dependency_has_a_lower_bound():
    assert [str(r) for r in ASKED if not any(bound.operator == ">=" for bound in r.specifier)] == []


def imported() -> set[str]:
    """The packages, not of Python itself, whose modules freqq imports anywhere, by the names of their distributions."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in (ROOT / "freqq").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    modules = {name.partition(".")[0] for name in names} - {PROJECT["name"], *sys.stdlib_module_names}
    known = packages_distributions()
    return {canonicalize_name(known.get(module, [module])[0]) for module in modules}


def test_whatever_is_imported_is_pinned():
    """A coder or a reader of files in another version can make other bytes."""
    assert imported() - {"vllm"} <= set(PINS)


def test_nothing_is_pinned_twice():
    assert len(PINS) == len(LINES)


def test_every_pin_is_of_a_dependency_or_says_whose_it_is():
    """What only others ask for is pinned where it decides bytes; the comment before it says so."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    indirect = text.partition("# Of others")[2]
    assert set(PINS) - {canonicalize_name(r.name) for r in ASKED} == {
        canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==", indirect, re.MULTILINE)
    }
