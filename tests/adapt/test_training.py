"""Trainings: they learn, go on where they stopped, and stop when they should."""

import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from freqq.adapt.adapt import adapt, prepare
from freqq.adapt.lessons import mini_courses
from freqq.adapt.log import NAME
from freqq.adapt.loop import CHECKPOINT, Habits
from freqq.adapt.memory import estimate
from freqq.adapt.settings import Adaptation
from freqq.coding.codebook_files import MissingCodebook
from freqq.errors import FreqqError, Interrupted, UserError
from freqq.glm.adapter import attach
from freqq.glm.adapter_card import CARD, WEIGHTS, AdapterCard
from freqq.glm.load import load_reader
from freqq.tokens.container import decode
from freqq.tokens.vq import VectorQuantization
from freqq.tokens.vq_codebook import read_token_codebook

SMALL = Adaptation("tiny", None, "token-lowpass", ("mild",), rank=2, steps=6, batch=1, questions=2)
HABITS = Habits(judge_every=3, held_out=2, answers=1)
TIMES = ("seconds",)


@pytest.fixture(autouse=True)
def one_thread():
    """Results depend on the number of threads in the last digits, and small matrices gain nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    AcceleratorState._reset_state(reset_partial_state=True)


def log(folder: Path) -> list[dict]:
    return [{k: v for k, v in row.items() if k not in TIMES} for row in pq.read_table(folder / NAME).to_pylist()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted training."""
    torch.set_num_threads(1)
    return adapt(SMALL, tmp_path_factory.mktemp("whole") / "a", HABITS)


def test_the_folder_holds_an_adapter_and_a_log(whole: Path) -> None:
    card = AdapterCard.read(whole)
    assert (card.method, card.levels, card.data, card.rank) == ("token-lowpass", ("mild",), "mini", 2)
    rows = log(whole)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["held_loss"] is not None for row in rows] == [False, False, True, False, False, True]
    assert all(math.isfinite(row["loss"]) and row["level"] == "mild" for row in rows)


@pytest.mark.slow
def test_it_learns(tmp_path: Path) -> None:
    adapt(replace(SMALL, batch=4, questions=6, steps=14), tmp_path / "a", replace(HABITS, judge_every=7, held_out=8))
    first, last = (row["held_loss"] for row in log(tmp_path / "a") if row["held_loss"] is not None)
    assert last < first - 0.1


def test_a_stopped_and_killed_training_ends_at_the_same_loss_curve_and_weights(whole: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def interrupt(step: int, steps: int, values: dict[str, float]) -> None:
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    def kill(step: int, steps: int, values: dict[str, float]) -> None:
        if step == 5:
            raise Killed  # two steps behind the last checkpoint

    with pytest.raises(Interrupted, match="after step 2"):
        adapt(SMALL, tmp_path / "a", HABITS, interrupt)
    with pytest.raises(Killed):
        adapt(SMALL, tmp_path / "a", HABITS, kill)
    adapt(SMALL, tmp_path / "a", HABITS)
    assert log(tmp_path / "a") == log(whole)
    ours, theirs = load_file(tmp_path / "a" / WEIGHTS), load_file(whole / WEIGHTS)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_finished_training_does_nothing_more(whole: Path) -> None:
    seen = []
    adapt(SMALL, whole, HABITS, lambda *values: seen.append(values))
    assert seen == []


def test_another_training_in_the_same_folder_is_refused(whole: Path) -> None:
    with pytest.raises(UserError, match="rank 2 there, 3 here"):
        adapt(replace(SMALL, rank=3), whole, HABITS)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_adapter(tmp_path: Path) -> None:
    training = prepare(SMALL, tmp_path, HABITS)

    def spoil(step: int, steps: int, values: dict[str, float]) -> None:
        """Damage what is trained, as a step that goes astray does."""
        if step == 4:
            next(iter(training.parameters.values())).data.fill_(math.nan)

    with pytest.raises(FreqqError, match=r"diverged in step 5 .*keeps the adapter of step 3"):
        training.run(spoil)
    kept = load_file(tmp_path / WEIGHTS)
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())
    assert (tmp_path / CHECKPOINT).is_file()


def test_training_that_helps_no_more_ends_early(tmp_path: Path) -> None:
    idle = replace(SMALL, steps=50, rate=1e-30, merger_rate=1e-30)
    adapt(idle, tmp_path / "a", Habits(judge_every=1, patience=2, held_out=1, answers=1))
    assert len(log(tmp_path / "a")) == 3


def test_minutes_set_the_number_of_steps_once(tmp_path: Path) -> None:
    steps: list[int] = []
    timed = replace(SMALL, steps=0, minutes=1e-9)
    adapt(
        timed,
        tmp_path / "a",
        Habits(judge_every=100, held_out=1, answers=1),
        lambda step, all, values: steps.append(all),
    )
    assert steps[:-2] == [0] * 29
    assert len(log(tmp_path / "a")) == 30 == steps[-1]


def test_levels_are_drawn_and_whole_pages_are_one_of_them(tmp_path: Path) -> None:
    several = replace(SMALL, levels=("baseline", "mild", "extreme"), steps=8, distill=0.5)
    adapt(several, tmp_path / "a", Habits(judge_every=8, held_out=1, answers=1))
    rows = log(tmp_path / "a")
    assert len({row["level"] for row in rows}) > 1
    assert {row["level"] for row in rows} <= {"baseline", "mild", "extreme"}
    assert all(row["distill"] >= 0 for row in rows)
    assert AdapterCard.read(tmp_path / "a").levels == several.levels


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "image-dct"}, "acts on images"),
        ({"method": "token-lowpas"}, "did you mean 'token-lowpass'"),
        ({"levels": ("mld",)}, "unknown level"),
        ({"levels": ()}, "give --level"),
        ({"train": "all"}, "unknown part"),
        ({"steps": 0}, "--steps or --minutes"),
        ({"minutes": 1.0}, "--steps or --minutes"),
        ({"batch": 0}, "--batch 0"),
        ({"rate": math.nan}, "--rate"),
        ({"distill": 2.0}, "--distill"),
        ({"overrides": (("kep", "1"),)}, "kep"),
    ],
)
def test_bad_settings_are_refused(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(SMALL, **change)


def test_a_model_that_does_not_fit_is_refused_before_it_trains(tmp_path: Path) -> None:
    with pytest.raises(FreqqError, match=r"GB are needed .*GB are there: use a smaller --batch-size"):
        adapt(replace(SMALL, batch=10**7), tmp_path / "a", HABITS)


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_that_accumulates(tmp_path: Path) -> None:
    """Each of two processes has half of a step's lessons; their gradients' mean is that of both halves."""
    common = "--steps 3 --batch-size 1 --questions 2 --rank 2 --judge-every 3".split()
    one = [sys.executable, "-m", "freqq", "adapt", *common, "--accumulate", "2", "--out", str(tmp_path / "one")]
    two = [
        *[sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"],
        *["--mixed_precision", "bf16", "--dynamo_backend", "no", "--main_process_port", "0", "-m"],
        *["freqq", "adapt", *common, "--out", str(tmp_path / "two")],
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for command in (one, two):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stderr
    ours, theirs = load_file(tmp_path / "two" / WEIGHTS), load_file(tmp_path / "one" / WEIGHTS)
    for name, tensor in theirs.items():
        assert torch.allclose(ours[name].float(), tensor.float(), atol=2e-2, rtol=2e-2), name
    assert (tmp_path / "two" / CARD).read_text() == (tmp_path / "one" / CARD).read_text()


LEARNING = replace(SMALL, method="token-vq", levels=("baseline", "extreme"), learn_codebook=True)


def test_a_codebook_that_follows_goes_on_after_a_stop_and_is_the_adapters_own(tmp_path: Path) -> None:
    """Two trainings, one of them stopped, end with the same codebook, which the card names and a reader finds."""

    def stop(step: int, steps: int, values: dict[str, float]) -> None:
        if step == 5:
            raise KeyboardInterrupt

    whole = adapt(LEARNING, tmp_path / "whole", HABITS)
    with pytest.raises(KeyboardInterrupt):
        adapt(LEARNING, tmp_path / "a", HABITS, stop)
    adapt(LEARNING, tmp_path / "a", HABITS)
    for name in (CARD, WEIGHTS):
        assert (tmp_path / "a" / name).read_bytes() == (whole / name).read_bytes()
    (file,) = whole.glob("codebook-*.safetensors")
    book = read_token_codebook(file)
    assert AdapterCard.read(whole).overrides == (("codebook", book.id.hex()),)
    reader = load_reader("tiny")
    grid, *_ = reader.see(mini_courses(7, 1, 1).held_out(0).pages)
    with pytest.raises(MissingCodebook):
        VectorQuantization.at("extreme", codebook=book.id.hex())
    attach(reader, whole)
    trained_for = VectorQuantization.at("extreme", codebook=book.id.hex())
    ours, shipped = trained_for.compress(grid), VectorQuantization.at("extreme").compress(grid)
    assert ours.payload is not None
    assert ours.payload != shipped.payload
    assert torch.equal(decode(ours.payload).features, ours.features)


def test_only_a_method_with_a_codebook_can_learn_one() -> None:
    with pytest.raises(UserError, match="--learn-codebook is for --method token-vq, and token-lowpass has no codebook"):
        replace(SMALL, learn_codebook=True)


def test_the_memory_that_is_needed_grows_with_what_is_asked(tmp_path: Path) -> None:
    small, wide, recomputed, lora = (
        estimate(prepare(replace(SMALL, **change), tmp_path / str(i), replace(HABITS, recompute=recompute)))
        for i, (change, recompute) in enumerate([({}, False), ({"batch": 2}, False), ({}, True), ({"rank": 4}, False)])
    )
    assert wide["activations"] == 2 * small["activations"]
    assert wide["weights"] == small["weights"] == recomputed["weights"]
    assert recomputed["activations"] < small["activations"]
    assert lora["trained"] > small["trained"]
    assert small["trained"] % 16 == 0
