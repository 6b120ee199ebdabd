"""Gradients in pieces where memory runs out, and float32 masters of what a model keeps in fewer bits."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from torch import nn

from freqq.adapt.adapt import prepare
from freqq.adapt.loop import Training
from freqq.adapt.optimizers import masters, round_to, take_gradients
from freqq.adapt.settings import CHECKPOINT, Adaptation, Habits
from tests.conftest import needs_tiny

SMALL = Adaptation("tiny", None, "token-lowpass", ("mild",), rank=2, steps=1, batch=4, questions=2)
HABITS = Habits(validate_every=1, held_out=1, answers=1)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    AcceleratorState._reset_state(reset_partial_state=True)


NUMBERS = st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3)


@given(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=6))
def test_updates_that_a_narrow_number_would_lose_add_up_in_its_master(start, steps):
    narrow = {"a": nn.Parameter(torch.tensor(start).bfloat16())}
    own, exact = masters(narrow), narrow["a"].detach().double()
    for step in steps:
        narrow["a"].grad = torch.tensor(step).bfloat16()
        take_gradients(narrow, own)
        with torch.no_grad():
            own["a"] -= 1e-3 * own["a"].grad
        exact -= 1e-3 * torch.tensor(step).bfloat16().double()
        own["a"].grad = None
        round_to(narrow, own)
        assert torch.equal(narrow["a"], own["a"].bfloat16())
    assert own["a"].dtype == torch.float32
    assert torch.allclose(own["a"].double(), exact, atol=1e-6)


@given(NUMBERS, NUMBERS)
def test_gradients_add_up_in_float32(one, other):
    narrow = {"a": nn.Parameter(torch.zeros(3).bfloat16())}
    own = masters(narrow)
    for some in (one, other):
        narrow["a"].grad = torch.tensor(some).bfloat16()
        take_gradients(narrow, own)
    assert narrow["a"].grad is None
    assert torch.equal(own["a"].grad, torch.tensor(one).bfloat16().float() + torch.tensor(other).bfloat16().float())


def test_float32_is_its_own_master():
    wide = {"a": nn.Parameter(torch.zeros(3))}
    assert masters(wide)["a"] is wide["a"]


def gradients(training: Training) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    values = training.gradients.step(training._batches(), training.compressors[0])
    return values, {name: master.grad.clone() for name, master in training.masters.items()}


@needs_tiny
def test_where_memory_runs_out_in_the_backward_pass_pieces_give_the_same_gradients(tmp_path: Path) -> None:
    training, notes = prepare(SMALL, tmp_path / "a", HABITS), []
    training.student.note = notes.append
    whole, expected = gradients(training)
    faults = [torch.OutOfMemoryError("CUDA out of memory")] * 2

    def hook(gradient):
        if faults:
            raise faults.pop()

    handle = next(iter(training.parameters.values())).register_hook(hook)
    try:
        values, found = gradients(training)
    finally:
        handle.remove()
    assert not faults
    assert notes == [f"out of memory on {n} examples at once: they are read {n // 2} at a time" for n in (4, 2)]
    assert training.gradients.piece == 1
    assert values["loss"] == pytest.approx(whole["loss"], rel=1e-3)
    total = torch.cat([grad.flatten() for grad in expected.values()]).norm()
    assert torch.cat([(found[n] - expected[n]).flatten() for n in found]).norm() < 0.02 * total


@needs_tiny
def test_in_bfloat16_the_base_stays_and_checkpoints_hold_float32(tmp_path: Path) -> None:
    narrow = replace(SMALL, dtype="bfloat16", batch=1)
    training = prepare(narrow, tmp_path / "a", HABITS)
    before = {n: p.clone() for n, p in training.adapter.peft.named_parameters() if n not in training.parameters}
    training.run(lambda *any: None)
    after = dict(training.adapter.peft.named_parameters())
    assert {p.dtype for p in before.values()} == {torch.bfloat16}
    assert all(torch.equal(after[n], p) for n, p in before.items())
    assert {n for n, p in training.parameters.items() if p is training.masters[n]} == {n for n in after if "lora_" in n}
    for name, master in training.masters.items():
        assert master.dtype == torch.float32
        assert torch.equal(training.parameters[name], master.to(training.parameters[name].dtype))
    merger = [m for n, m in training.masters.items() if m is not training.parameters[n]]
    assert any(bool((m != m.bfloat16()).any()) for m in merger)
    with safe_open(tmp_path / "a" / CHECKPOINT, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith("model/")]  # noqa: SIM118 - it is no mapping
        stored = {name.removeprefix("model/"): file.get_tensor(name) for name in names}
    assert {n: t.dtype for n, t in stored.items()} == dict.fromkeys(training.masters, torch.float32)
    again = prepare(narrow, tmp_path / "a", HABITS)
    assert all(torch.equal(again.masters[n], m) for n, m in training.masters.items())
