"""The coder of rows of symbols: what goes in comes out, in about as many bits as its model says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freqq.coding.rans import ESCAPE, MOST_BITS, decode, encode, scaled
from freqq.image.vq_codebook import independent
from freqq.image.vq_training import learn

seeds = st.integers(0, 10_000)


def chain(seed: int, rows: int, steps: int, symbols: int) -> np.ndarray:
    """Rows of a random walk on a ring, so that a symbol says much about the next."""
    rng = np.random.default_rng(seed)
    return (rng.integers(symbols, size=(rows, 1)) + rng.integers(0, 3, (rows, steps)).cumsum(1)) % symbols


def spoken(symbols: np.ndarray) -> np.ndarray:
    return np.where(symbols < 0, -1 - symbols, symbols)


@settings(max_examples=60)
@given(seed=seeds, rows=st.integers(1, 20), steps=st.integers(1, 40), symbols=st.integers(2, 30))
def test_any_rows_come_back(seed: int, rows: int, steps: int, symbols: int) -> None:
    """Also rows that the model never saw: what it does not expect escapes."""
    _, source = learn(chain(seed, 5, 30, symbols), symbols, pair_least=3)
    message = np.random.default_rng(seed).integers(symbols, size=(rows, steps))
    entries, escaped = source.walk(message)
    words, states = encode(source, entries)
    decoded = decode(source, words, states, steps, escaped)
    assert decoded is not None
    np.testing.assert_array_equal(spoken(decoded), message)
    np.testing.assert_array_equal(decoded.T < 0, source.symbols[entries].T == ESCAPE)


@settings(max_examples=30)
@given(seed=seeds)
def test_a_symbol_can_be_made_to_escape(seed: int) -> None:
    rows = chain(seed, 8, 20, 12)
    _, source = learn(rows, 12, pair_least=4)
    forced = np.random.default_rng(seed).random(rows.shape) < 0.2
    entries, escaped = source.walk(np.where(forced, -1 - rows, rows))
    decoded = decode(source, *encode(source, entries), 20, escaped)
    assert decoded is not None
    np.testing.assert_array_equal(spoken(decoded), rows)
    assert (decoded < 0)[forced].all()


def test_a_message_is_about_as_long_as_its_entropy() -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(200))
    message = rng.choice(200, size=(40, 500), p=shares)
    source = independent(np.bincount(message.ravel(), minlength=200) + 0.5)
    words, states = encode(source, source.walk(message)[0])
    entropy = -(shares * np.log2(shares)).sum() * message.size / 8
    assert 0.98 * entropy < 2 * len(words) < 1.02 * entropy
    assert states.nbytes == 4 * 40


def test_contexts_make_a_message_shorter() -> None:
    rows = chain(1, 400, 60, 50)
    train, test = rows[:300], rows[300:]
    alone = independent(np.bincount(train.ravel(), minlength=50) + 1.0)
    singles, pairs = (learn(train, 50, least)[1] for least in (10**9, 20))
    sizes = [len(encode(source, source.walk(test)[0])[0]) for source in (alone, singles, pairs)]
    assert sizes[1] < 0.5 * sizes[0]  # log2(3) bits of log2(50)
    assert singles.states == 51 < pairs.states


def test_a_symbol_that_others_stand_for_escapes_less() -> None:
    rows = chain(2, 200, 40, 30)
    _, source = learn(rows, 30, pair_least=10**9)
    strange = np.random.default_rng(0).integers(30, size=(20, 40))
    others = (np.arange(30)[:, None] + np.arange(15)) % 30
    entries, escaped = source.walk(strange, others)
    assert len(escaped) < 0.6 * len(source.walk(strange)[1])
    decoded = decode(source, *encode(source, entries), 40, escaped)
    assert decoded is not None
    assert ((spoken(decoded) - strange) % 30 < 15).all()


@pytest.mark.parametrize("damage", ["cut", "more", "states", "escapes"])
def test_what_is_no_message_is_told(damage: str) -> None:
    rows = chain(3, 10, 50, 20)
    _, source = learn(rows, 20, pair_least=5)
    entries, escaped = source.walk(rows)
    words, states = encode(source, entries)
    match damage:
        case "cut":
            words = words[:-1]
        case "more":
            words = np.append(words, words[:1])
        case "states":
            states = states - states.min() + 1
        case "escapes":
            escaped = np.append(escaped, 0)
    assert decode(source, words, states.astype(np.uint32), 50, escaped) is None


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=100), st.integers(7, MOST_BITS))
def test_frequencies_are_whole_positive_and_complete(counts: list[float], bits: int) -> None:
    found = scaled(np.array(counts), bits)
    assert found.min() >= 1
    assert found.sum() == 1 << bits
    exact = np.array(counts) / sum(counts) * (1 << bits)
    assert (np.abs(found - exact) <= len(counts) + 1).all()


def test_more_symbols_than_slots_are_refused() -> None:
    with pytest.raises(ValueError, match="200 symbols"):
        scaled(np.ones(200), 7)
