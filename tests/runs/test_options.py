"""Options as they are typed or given in Python, and the settings that they mean."""

from dataclasses import FrozenInstanceError
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.errors import UserError
from freqq.levels import LEVELS
from freqq.names import several, single
from freqq.runs.options import EvalOptions, overrides
from freqq.runs.settings import Settings

WORDS = st.lists(st.text("abcz09-+_", min_size=1), unique=True)


@given(WORDS, st.data())
def test_commas_and_repetition_mean_the_same(words, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(words)), max_size=3)))
    pieces = [words[a:b] for a, b in zip([0, *cuts], [*cuts, len(words)], strict=True)]
    typed = [",".join(piece) for piece in pieces]
    assert several("x", typed) == several("x", ",".join(words)) == several("x", words) == tuple(chain(*pieces))


@given(WORDS.filter(bool), st.integers(0, 100))
def test_what_is_given_twice_is_refused_however_it_is(words, index):
    twice = words[index % len(words)]
    for typed in ([*words, twice], [",".join([*words, twice])], [twice, ",".join(words)]):
        with pytest.raises(UserError, match="is given twice"):
            several("x", typed)


@pytest.mark.parametrize("given", ["mild", ["mild"], ("mild",), ["mild,"]])
def test_one_is_one(given):
    assert single("level", given) == "mild"


@pytest.mark.parametrize("given", ["mild,extreme", ["mild", "extreme"], [], ""])
def test_one_is_neither_two_nor_none(given):
    with pytest.raises(UserError, match="takes one level"):
        single("level", given)


@pytest.mark.parametrize(
    ("typed", "in_python"),
    [
        ({"method": ["token-prune", "image"]}, {"method": "token-prune,image"}),
        ({"level": ["mild,extreme"]}, {"level": ("mild", "extreme")}),
        ({"level": ["all"]}, {"level": LEVELS}),
        ({"needle": ["2,4"]}, {"needle": [2, 4]}),
        ({"needle": ["8"]}, {"needle": 8}),
        ({"bin": ["0-8k,8k-16k"]}, {"bin": ["0-8k", "8k-16k"]}),
        ({"keep": "0.5", "method": ["image"]}, {"keep": 0.5, "method": "image"}),
        ({"bits": "8,4,2"}, {"bits": (8, 4, 2)}),
        ({"bits": "8,4,2"}, {"set": {"bits": (8, 4, 2)}}),
        ({"set": ["bits=8,4,2,low=0.2"]}, {"set": ["bits=8,4,2", "low=0.2"]}),
        ({"set": ["bits=8,4,2,low=0.2"]}, {"set": {"low": 0.2, "bits": "8,4,2"}}),
        ({"out": Path("runs/a"), "no_baseline": True}, {"out": "runs/a", "no_baseline": True}),
        ({"limit": "5", "max_new_tokens": "96"}, {"limit": np.int64(5), "max_new_tokens": 96}),
    ],
)
def test_a_shells_values_and_pythons_mean_the_same(typed, in_python):
    first, second = EvalOptions(**typed), EvalOptions(**in_python)
    assert (first.settings(), first.folder()) == (second.settings(), second.folder())


def test_without_options_a_run_has_the_settings_of_always():
    assert EvalOptions().settings() == Settings()


def test_options_cannot_change_on_their_way():
    with pytest.raises(FrozenInstanceError):
        EvalOptions().limit = 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"needle": "two"}, "--needle two: write it as a whole number"),
        ({"set": ["keep"]}, "--set keep: write it as NAME=VALUE"),
        ({"set": {"keep": 0.3}, "keep": 0.4, "method": "image"}, "given twice: keep=0.4, keep=0.3"),
        ({"level": "mild,mild"}, "--level mild is given twice"),
        ({"concurrency": 3}, "--concurrency is for a server"),
    ],
)
def test_what_is_wrong_is_said_by_the_options_name(given, said):
    options = EvalOptions(**given)
    with pytest.raises(UserError, match=said):
        (options.settings(), options.machine())


def test_an_engine_of_the_runs_own_has_limits_as_a_server_does():
    machine = EvalOptions(backend="vllm", timeout=5, concurrency=3, retries=1).machine()
    assert machine.endpoint is None
    assert machine.limits == {"timeout_s": 5.0, "concurrency": 3, "retries": 1}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"limit": "five"}, "limit='five': give a whole number"),
        ({"limit": 2.5}, "limit=2.5: give a whole number"),
        ({"limit": None}, "limit=None: give a whole number"),
        ({"seed": True}, "seed=True: give a whole number"),
        ({"dpi": [96]}, r"dpi=\[96\]: give a number"),
        ({"offload": "yes"}, "offload='yes': give True or False"),
    ],
)
def test_numbers_and_switches_of_another_type_are_refused(given, said):
    with pytest.raises(UserError, match=said):
        EvalOptions(**given)


@given(
    st.dictionaries(
        st.from_regex("[a-z_]{1,8}", fullmatch=True), st.from_regex(r"[\w.]+(,[\w.]+)*", fullmatch=True), min_size=1
    )
)
def test_assignments_survive_the_commas_between_them(values):
    assert overrides(",".join(f"{name}={value}" for name, value in values.items())) == values
    assert overrides([f"{name}={value}" for name, value in values.items()]) == values == overrides(values)
