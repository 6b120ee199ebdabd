"""The embedded reader of Glyph's look: shipped whole, small enough, and reading at each resolution as its card says."""

import csv
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import freqq
from freqq.glm.place import multiplies_bfloat16
from tests.conftest import FULL

ROOT = Path(__file__).parents[2]
FOLDER = files("freqq") / "glm" / "small"
SEED = 7
"""Not the seed of any number in the model card."""

COUNT = 40 if FULL else 12
DTYPE = "bfloat16" if multiplies_bfloat16() else "float32"
"""The card's numbers are of bfloat16, which takes five times as long where there are no instructions for it."""

TASKS: dict[str, dict[str, Any]] = {
    "mrcr": {"data": "mini", "needle": 2},
    "niah_multikey_1": {"data": "ruler-mini", "task": "niah_multikey_1"},
}
pytestmark = pytest.mark.slow


def card(task: str, dpi: int) -> float:
    """The score that the card has."""
    with (ROOT / "examples" / "results" / "reader.csv").open(encoding="utf-8") as file:
        [score] = [float(r["score"]) for r in csv.DictReader(file) if r["task"] == task and float(r["dpi"]) == dpi]
    return score


def scores(out: Path, task: str, dpi: int, **options: Any) -> dict[str, float]:
    """Mean score of each arm on held-out samples."""
    found = freqq.evaluate(
        model="small", **TASKS[task], look="glyph", dpi=dpi, limit=COUNT, seed=SEED, dtype=DTYPE, batch_size=12,
        sizes="none", out=out, **options,
    ).rows.to_pylist()  # fmt: skip
    arms = {row["method"] for row in found}
    return {arm: float(np.mean([row["score"] for row in found if row["method"] == arm])) for arm in arms}


def test_it_is_small_and_has_a_card() -> None:
    weights = (FOLDER / "model.safetensors").read_bytes()
    assert len(weights) <= 60e6
    assert b"pickle" not in weights[:4096]
    text = (FOLDER / "README.md").read_text("utf-8")
    for word in ("Limits", "Training", "exact", "freqq train small", "Python Software Foundation"):
        assert word in text


def test_it_finds_needles(tmp_path: Path) -> None:
    """What the card says holds on samples that it does not count, within what a few of them can tell."""
    found = scores(tmp_path / "run", "niah_multikey_1", 96, level="baseline")
    assert found["baseline"] == pytest.approx(card("niah_multikey_1", 96), abs=0.3)


def test_it_answers_and_a_tenth_of_the_tokens_gone_costs_what_the_card_says(tmp_path: Path) -> None:
    """Nearly every answer loses a token of its own; a designated carrier would lose it nearly everything."""
    found = scores(tmp_path / "run", "mrcr", 120, method="token-random", keep=0.9)
    assert found["baseline"] == pytest.approx(card("mrcr", 120), abs=0.3)
    assert found["baseline"] - found["token-random"] < 0.206 + 0.2  # the card's, and what a few samples can tell
