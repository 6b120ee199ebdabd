"""``freqq methods``."""

import json

import pytest
from typer.testing import CliRunner

from freqq.cli.app import app
from freqq.glm.families import served
from freqq.runs import methods as table
from freqq.runs.cards import cards


def run(*arguments):
    return CliRunner().invoke(app, ["methods", *arguments], prog_name="freqq")


def test_all_are_listed_with_levels_and_sources():
    shown = run().stdout
    for found in cards():
        assert f" {found.name} " in shown
    assert "keep 0.75 / 0.5 / 0.25 / 0.125" in shown
    assert "arXiv:2503.02175" in shown
    assert f"within vLLM (freqq serve --engine vllm) with {', '.join(served())}." in " ".join(shown.split())


def test_the_card_of_one_is_its_docstring():
    shown = run("token-divprune").stdout
    found = next(one for one in cards() if one.name == "token-divprune")
    for text in (found.idea, found.text, *found.sections.values()):
        assert text in shown
    assert "keep 0.75 / 0.5 / 0.25 / 0.125" in shown


def test_a_combination_is_two_cards():
    shown = run("token-lowpass+quantize").stdout
    assert shown.startswith("token-lowpass\n")
    assert "\ntoken\n" in shown
    assert [one["name"] for one in json.loads(run("token-lowpass+quantize", "--json").stdout)] == [
        "token-lowpass", "token",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["image-vq", "token"])
def test_as_json(name):
    found = json.loads(run(name, "--json").stdout)
    assert found["name"] == name
    assert set(found["levels"]) == {"ultra_mild", "mild", "aggressive", "extreme"}
    assert found in json.loads(run("--json").stdout)


def test_an_unknown_name_is_explained():
    done = run("token-lowpas")
    assert done.exit_code == 2
    assert "did you mean 'token-lowpass'?" in done.stderr


def test_each_method_has_one_name():
    assert set(table.method_names()) == {table.canonical(name) for name in table.METHODS}
