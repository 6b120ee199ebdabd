"""``freqq train`` makes a folder that ``freqq eval`` takes, and goes on where it stopped."""

import inspect
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from freqq.cli.app import app
from freqq.cli.train import train
from freqq.glm.train.train import Training


def test_the_defaults_are_those_of_the_recipe() -> None:
    defaults = {name: parameter.default for name, parameter in inspect.signature(train).parameters.items()}
    recipe = Training()
    assert (defaults["vision_steps"], defaults["language_steps"]) == (recipe.vision_steps, recipe.language_steps)
    assert defaults["seed"] == recipe.seed


@pytest.mark.slow
def test_train_then_eval(tmp_path: Path) -> None:
    """A few steps teach nothing, but the model folder is whole: its answers are graded and none fails."""
    steps = ["train", "--out", str(tmp_path / "made"), "--vision-steps", "2", "--language-steps", "2"]
    for _ in range(2):  # the second time finds everything done
        trained = CliRunner().invoke(app, steps)
        assert trained.exit_code == 0, trained.output
    log = [json.loads(line) for line in (tmp_path / "made" / "log.jsonl").read_text().splitlines()]
    assert [(entry["stage"], entry["step"]) for entry in log] == [("vision", 2), ("language", 2)]
    model = str(tmp_path / "made" / "model")
    result = CliRunner().invoke(
        app,
        ["eval", "--model", model, "--limit", "2", "--max-new-tokens", "4", "--out", str(tmp_path / "run"), "--json"],
    )
    assert result.exit_code == 0, result.output
    groups = json.loads(result.stdout)["groups"]
    assert [group["n_failed"] for group in groups] == [0, 0]
