"""``freqq train`` makes a folder that ``freqq eval`` takes, and goes on where it stopped."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from freqq.cli.app import app
from freqq.glm.place import multiplies_bfloat16
from tests.conftest import FULL


def test_an_unknown_model_is_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train", "smal", "--out", str(tmp_path / "made")])
    assert done.exit_code == 2
    assert "did you mean 'small'" in done.stderr
    assert not (tmp_path / "made").exists()


def test_tiny_has_no_third_stage(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train", "tiny", "--out", str(tmp_path / "made"), "--question-steps", "2"])
    assert done.exit_code == 2
    assert "--question-steps is for small" in done.stderr


STAGES = {"tiny": ("vision", "language"), "small": ("reading", "aloud", "questions")}
MINUTES = pytest.mark.skipif(
    not (FULL or multiplies_bfloat16()), reason="minutes on a CPU without bfloat16: make test-full runs it"
)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["tiny", pytest.param("small", marks=MINUTES)])
def test_train_then_eval(model: str, tmp_path: Path) -> None:
    """A few steps teach nothing, but the model folder is whole: its answers are graded and none fails."""
    stages = STAGES[model]
    numbers = [f"--{kind}-steps=2" for kind in ("vision", "language", "question")[: len(stages)]]
    steps = ["train", model, "--out", str(tmp_path / "made"), *numbers]
    for _ in range(2):  # the second time finds everything done
        trained = CliRunner().invoke(app, steps)
        assert trained.exit_code == 0, trained.output
    log = [json.loads(line) for line in (tmp_path / "made" / "log.jsonl").read_text().splitlines()]
    assert [(entry["stage"], entry["step"]) for entry in log] == [(stage, 2) for stage in stages]
    folder = str(tmp_path / "made" / "model")
    result = CliRunner().invoke(
        app,
        ["eval", "--model", folder, "--limit", "2", "--max-new-tokens", "4", "--out", str(tmp_path / "run"), "--json"],
    )
    assert result.exit_code == 0, result.output
    groups = json.loads(result.stdout)["groups"]
    assert [group["n_failed"] for group in groups] == [0, 0]
