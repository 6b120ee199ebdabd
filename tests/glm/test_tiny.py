"""The embedded model: shipped whole, small enough, really reading, and with no token that carries its neighbours."""

from functools import cache
from importlib.resources import files

import pytest
import torch
from torch import Tensor

from freqq.data.mini import mini
from freqq.data.tasks.mrcr import grade
from freqq.glm.load import load_reader
from freqq.glm.reader import Reader
from freqq.pages.page import Page
from freqq.pages.render import render
from freqq.pages.style import Style
from freqq.tokens.grid import CompressedGrid
from tests.conftest import needs_tiny

pytestmark = [needs_tiny, pytest.mark.slow]
SEED = 7
"""Not the seed of any number in the model card or the README."""

CARD = [(2, 0.957, 0.930), (4, 0.859, 0.800), (8, 0.708, 0.570)]
"""Needles, score and exact answers as the model card gives them."""


@pytest.fixture(scope="module")
def reader() -> Reader:
    return load_reader("tiny")


@cache  # what one test measures another compares with
def score(reader: Reader, needles: int, count: int, drop: float = 0.0) -> tuple[float, float]:
    """Mean score and exact answers on held-out samples, with a share of the page tokens dropped at random."""
    generator = torch.Generator().manual_seed(SEED)

    def thin(grid: Tensor) -> CompressedGrid:
        h, w, channels = grid.shape
        kept = (torch.rand(h * w, generator=generator) >= drop).nonzero()[:, 0]
        return CompressedGrid(grid.reshape(h * w, channels)[kept], (h, w), kept)

    samples = list(mini(needles, count, SEED))
    pages: list[list[Page]] = []
    for sample in samples:
        style = Style().with_overrides(sample.style)
        pages.append(list(render([style.label(turn.role, turn.text) for turn in sample.turns], style)))
    grids = [[thin(grid) if drop else grid for grid in sample] for sample in reader.see_many(pages)]
    answers = reader.answer_many([sample.question for sample in samples], grids, 64)
    grades = [grade(a.text, s.answer, s.prefix) for a, s in zip(answers, samples, strict=True)]
    return sum(g.score for g in grades) / count, sum(g.exact for g in grades) / count


def test_it_is_small_and_has_a_card() -> None:
    folder = files("freqq") / "glm" / "tiny"
    weights = (folder / "model.safetensors").read_bytes()
    assert len(weights) <= 20e6
    assert b"pickle" not in weights[:4096]
    card = (folder / "README.md").read_text()
    for score, exact in (row[1:] for row in CARD):
        assert f"{score:.3f}".lstrip("0") in card
        assert f"{exact:.3f}".lstrip("0") in card
    for word in ("Limits", "Training", "exact", "freqq train"):
        assert word in card


@pytest.mark.parametrize(("needles", "card_score", "card_exact"), CARD)
def test_it_reads(reader: Reader, needles: int, card_score: float, card_exact: float) -> None:
    """What the model card quotes holds on samples that it does not quote, within what 60 of them can tell."""
    mean, exact = score(reader, needles, 60)
    assert mean == pytest.approx(card_score, abs=0.12)
    assert exact == pytest.approx(card_exact, abs=0.18)


def test_no_token_is_a_designated_carrier(reader: Reader) -> None:
    """A tenth of the tokens gone at random costs about what the tenth showed."""
    whole, _ = score(reader, 2, 60)
    thinned, _ = score(reader, 2, 60, drop=0.1)
    assert whole - thinned < 0.15 + 0.05  # the card has .140 on 200 samples
