"""A codebook that follows what it quantizes."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from freqq.tokens.vq import by_band, quantize_vectors, restore_vectors
from freqq.tokens.vq_codebook import TABLE_BITS, TokenCodebook, read_token_codebook
from freqq.tokens.vq_training import DECAY, CodebookAverages
from tests.tokens.conftest import training_grids

RATE = 2


@pytest.fixture(scope="module")
def grids() -> list[Tensor]:
    """Of another spread than those that the codebook was trained on."""
    return [0.6 * grid for grid in training_grids(seed=5)[:8]]


def error(grids: list[Tensor], book: TokenCodebook) -> float:
    return sum(float((restore_vectors(quantize_vectors(g, book, RATE)) - g).square().sum()) for g in grids)


def follow(averages: CodebookAverages, grids: list[Tensor], steps: int) -> None:
    for _ in range(steps):
        for grid in grids:
            averages.add(grid, quantize_vectors(grid, averages.book, RATE))
        averages.step()


def test_without_a_grid_nothing_moves(book: TokenCodebook) -> None:
    averages = CodebookAverages(book)
    averages.step()
    assert averages.book.file == book.file


def test_it_comes_nearer_to_what_it_quantizes(book: TokenCodebook, grids: list[Tensor]) -> None:
    averages = CodebookAverages(book)
    follow(averages, grids[:4], 60)
    assert error(grids[:4], averages.book) < 0.9 * error(grids[:4], book)


def test_only_the_words_of_its_rate_move_and_the_first_of_each_stays_zero(
    book: TokenCodebook, grids: list[Tensor], tmp_path: Path
) -> None:
    averages = CodebookAverages(book)
    follow(averages, grids[:2], 2)
    moved = averages.book
    for name in set(book.arrays) - {"words", "frequencies"}:
        assert np.array_equal(moved.arrays[name], book.arrays[name])
    for rate, (now, before) in enumerate(zip(moved.rates, book.rates, strict=True), 1):
        pairs = list(zip(chain(*now.bands), chain(*before.bands), strict=True))
        assert pairs
        assert all(torch.equal(a.words, b.words) == (rate != RATE) for a, b in pairs)
        assert all(torch.equal(a.biases, b.biases) == (rate != RATE) for a, b in pairs)
        assert not any(group.words[0].any() for group, _ in pairs)
    (tmp_path / "book.safetensors").write_bytes(moved.file)
    assert read_token_codebook(tmp_path / "book.safetensors").id == moved.id != book.id


def test_a_word_is_the_moving_average_of_its_vectors(book: TokenCodebook, grids: list[Tensor]) -> None:
    """By the formula itself, for the word that comes most often in the first group."""
    averages = CodebookAverages(book)
    coded = [quantize_vectors(grid, book, RATE) for grid in grids[:4]]
    for grid, one in zip(grids, coded, strict=False):
        averages.add(grid, one)
    averages.step()
    first = book.rates[RATE - 1].bands[0][0]
    names = torch.cat([one.symbols[0][:, 0] for one in coded]).long()
    vectors = torch.cat([by_band(grid, book)[1][0][:, first.axes] for grid in grids[:4]])
    word = 1 + int(torch.bincount(names, minlength=len(first.words))[1:].argmax())
    at = int(book.arrays["sizes"][: int(book.arrays["groups"][: RATE - 1].sum())].sum()) + word
    share = DECAY * float(book.arrays["frequencies"][at]) / (1 << TABLE_BITS)
    new = (1 - DECAY) / len(names)
    own = vectors[names == word]
    expected = (share * first.words[word] + new * own.sum(0)) / (share + new * len(own))
    moved = averages.book.rates[RATE - 1].bands[0][0].words[word]
    assert not torch.equal(moved, first.words[word])
    torch.testing.assert_close(moved, expected, atol=1e-3, rtol=1e-3)


def test_what_is_forgotten_moves_nothing(book: TokenCodebook, grids: list[Tensor]) -> None:
    averages = CodebookAverages(book)
    averages.add(grids[0], quantize_vectors(grids[0], book, RATE))
    averages.forget()
    averages.step()
    assert averages.book.file == book.file


def test_it_goes_on_from_its_state(book: TokenCodebook, grids: list[Tensor]) -> None:
    averages, other = CodebookAverages(book), CodebookAverages(book)
    follow(averages, grids[:2], 3)
    other.restore(averages.state())
    assert other.book.file == averages.book.file
    for each in (averages, other):
        follow(each, grids[2:4], 2)
    assert other.book.file == averages.book.file
