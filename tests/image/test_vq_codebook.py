"""Codebooks: blocks are found in them, and a file is read back or refused."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from freqq.errors import UserError
from freqq.image.vq_codebook import SLOTS_PER_ENTRY, Codebook, read_codebook
from freqq.image.vq_patterns import Patterns, weighted_dct
from freqq.image.vq_training import train
from freqq.pages.glyph import GlyphConfig
from freqq.pages.glyph_pages import render_glyph

TEXT = "Pack my box with five dozen liquor jugs, and write a poem about tapirs. " * 40


@pytest.fixture(scope="module")
def book() -> Codebook:
    return train(render_glyph(TEXT, GlyphConfig(page_size=(300.0, 200.0))), pitch=Fraction(10), size=600, pair_least=5)


def test_every_pattern_is_found_and_nothing_else(book: Codebook) -> None:
    patterns = book.patterns.array
    np.testing.assert_array_equal(book.patterns.exact(patterns), np.arange(len(patterns)))
    changed = patterns.copy()
    changed[:, 0, 0] ^= 1
    known = {p.tobytes() for p in patterns}
    expected = np.array([c.tobytes() in known for c in changed])
    np.testing.assert_array_equal(book.patterns.exact(changed) >= 0, expected)


def test_the_nearest_is_the_nearest() -> None:
    rng = np.random.default_rng(0)
    patterns = Patterns(rng.integers(0, 256, (700, 5, 4), np.uint8))
    blocks = rng.integers(0, 256, (600, 5, 4), np.uint8)
    index, distance = patterns.ranked(blocks, 3)
    away = np.sqrt(((weighted_dct(blocks)[:, None] - weighted_dct(patterns.array)[None]) ** 2).mean(2))
    np.testing.assert_allclose(distance, np.sort(away, 1)[:, :3], rtol=1e-3)
    np.testing.assert_allclose(np.take_along_axis(away, index, 1), distance, rtol=1e-3)
    np.testing.assert_array_equal(patterns.nearest(blocks)[0], index[:, 0])


def test_the_most_frequent_patterns_come_first_and_are_their_own_neighbours(book: Codebook) -> None:
    assert (book.patterns.array[0] == 255).all()  # blank
    np.testing.assert_array_equal(book.neighbours[:, 0], np.arange(len(book.patterns)))
    assert (np.diff(book.distances.astype(float), axis=1) >= 0).all()


def test_training_is_deterministic(book: Codebook) -> None:
    again = train(render_glyph(TEXT, GlyphConfig(page_size=(300.0, 200.0))), pitch=Fraction(10), size=600, pair_least=5)
    assert again.file == book.file
    assert again.id == book.id


def test_a_file_is_read_back(book: Codebook, tmp_path: Path) -> None:
    path = tmp_path / "book.safetensors"
    path.write_bytes(book.file)
    read = read_codebook(path)
    assert read.id == book.id
    np.testing.assert_array_equal(read.source.follows[read.source.symbols != 0xFFFF],
                                  book.source.follows[book.source.symbols != 0xFFFF])  # fmt: skip
    np.testing.assert_array_equal(read.source.frequencies, book.source.frequencies)


def _with(**changes):  # type: ignore[no-untyped-def]
    return lambda arrays: arrays | {n: change(arrays[n].copy()) for n, change in changes.items()}


def _set(index, value):  # type: ignore[no-untyped-def]
    def change(array):  # type: ignore[no-untyped-def]
        array[index] = value
        return array

    return change


def _as_long_as_can_be(arrays):  # type: ignore[no-untyped-def]
    """Frequencies whose sum is 2^16 in every state that has two entries, so that a small file makes a large table."""
    last = arrays["starts"][1:] - 1
    totals = np.add.reduceat(arrays["frequencies"].astype(np.int64), arrays["starts"][:-1])
    changed = arrays["frequencies"].astype(np.int64)
    changed[last] += np.where(changed[last] < totals, (1 << 16) - totals, 0)
    assert np.array_equal(changed, changed.astype(np.uint16))
    return changed.astype(np.uint16)


@pytest.mark.parametrize("pair_least", [1, 5, 1000])
def test_the_decoders_table_is_in_proportion_to_the_file(pair_least: int) -> None:
    pages = render_glyph(TEXT, GlyphConfig(page_size=(300.0, 200.0)))
    source = train(pages, pitch=Fraction(10), size=600, pair_least=pair_least).source
    assert len(source.slots) <= SLOTS_PER_ENTRY * len(source.symbols)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: {n: a for n, a in arrays.items() if n != "pairs"}, "no pairs"),
        (_with(symbols=lambda a: a.astype(np.int32)), "no symbols of type uint16"),
        (_with(patterns=lambda a: a[:, :, 0]), "patterns are out of bounds"),
        (_with(pairs=_set((0, 0), 60_000)), "pairs are out of bounds"),
        (_with(pairs=lambda a: a[::-1].copy()), "pairs are out of order"),
        (_with(neighbours=_set((3, 1), 60_000)), "neighbours or escapes"),
        (_with(escapes=_set(5, 0)), "neighbours or escapes"),
        (_with(starts=_set(3, 0)), "states do not fit"),
        (_with(starts=lambda a: a[:-1]), "states do not fit"),
        (_with(frequencies=_set(2, 0)), "frequencies are out of bounds"),
        (_with(frequencies=lambda a: a + 1), "frequencies are out of bounds"),
        (_with(starts=lambda a: np.array(a[0])), "states do not fit"),
        (_with(symbols=lambda a: np.array(a[0])), "states do not fit"),
        (lambda arrays: arrays | {"frequencies": _as_long_as_can_be(arrays)}, "frequencies are out of bounds"),
        (_with(symbols=_set(0, 60_000)), "symbols are out of order"),
        (_with(symbols=_set(-1, 0)), "symbols are out of order"),
    ],
)
def test_a_file_that_lies_is_refused(change, message: str, book: Codebook, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "book.safetensors"
    path.write_bytes(save(change(load(book.file))))
    with pytest.raises(UserError, match=message):
        read_codebook(path)


@pytest.mark.parametrize("data", [b"", b"nothing", b"\xff" * 100])
def test_what_is_no_safetensors_file_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "book.safetensors"
    path.write_bytes(data)
    with pytest.raises(UserError, match="is not a codebook"):
        read_codebook(path)
