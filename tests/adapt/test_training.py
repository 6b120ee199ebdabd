"""Trainings: they learn, go on where they stopped, and stop when they should."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from accelerate.state import AcceleratorState
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from freqq.adapt.adapt import adapt, prepare
from freqq.adapt.log import NAME, SCHEMA, Log
from freqq.adapt.loop import Training
from freqq.adapt.memory import Load, _seeing, estimate
from freqq.adapt.schedule import TimeLimit, timed_rate_factor
from freqq.adapt.settings import CHECKPOINT, Adaptation, Habits
from freqq.adapt.settings import NAME as SETTINGS
from freqq.adapt.student import Seen
from freqq.adapt.training_data import Example, mini_data
from freqq.coding.codebook_files import MissingCodebook
from freqq.errors import BrokenDevice, FreqqError, Interrupted, OutOfMemory, UserError
from freqq.glm.adapter import attach
from freqq.glm.adapter_card import CARD, WEIGHTS, AdapterCard
from freqq.glm.load import load_reader
from freqq.runs.lock import lock
from freqq.runs.shard import Shard
from freqq.tokens.container import decode
from freqq.tokens.vq import VectorQuantization
from freqq.tokens.vq_codebook import read_token_codebook
from tests.glm.conftest import save_model
from tests.runs.faulty_device import BREAKING, FaultyDevice, out_of_memory

SMALL = Adaptation("tiny", None, "token-lowpass", ("mild",), rank=2, steps=6, batch=1, questions=2)
HABITS = Habits(validate_every=3, held_out=2, answers=1)
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
def little(tmp_path_factory: pytest.TempPathFactory) -> Adaptation:
    """`SMALL` for a random model that takes a tenth of the time, for what needs no model that reads."""
    folder = save_model("glm4v", tmp_path_factory.mktemp("little"), text={"max_position_embeddings": 2048})
    return replace(SMALL, model=str(folder))


@pytest.fixture(scope="module")
def whole(little: Adaptation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted training."""
    torch.set_num_threads(1)
    return adapt(little, tmp_path_factory.mktemp("whole") / "a", HABITS)


def test_the_folder_holds_an_adapter_and_a_log(whole: Path) -> None:
    card = AdapterCard.read(whole)
    assert (card.method, card.levels, card.data, card.rank) == ("token-lowpass", ("mild",), "mini", 2)
    rows = log(whole)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["held_loss"] is not None for row in rows] == [False, False, True, False, False, True]
    assert all(math.isfinite(row["loss"]) and row["level"] == "mild" for row in rows)


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[FaultyDevice], None]]:
    """Makes the model of the next training that of a faulty device."""
    with ExitStack() as under:

        def choose(device: FaultyDevice) -> None:
            def on_device(*given: Any) -> Training:
                training = prepare(*given)
                under.enter_context(device.under(training.adapter.reader.model))
                return training

            monkeypatch.setattr("freqq.adapt.adapt.prepare", on_device)

        yield choose


def test_where_memory_runs_out_fewer_pages_are_seen_at_once_and_the_note_says_so(
    little: Adaptation, tmp_path: Path, faulty: Any
) -> None:
    one_step, notes = replace(little, steps=1, batch=4), []
    adapt(one_step, tmp_path / "a", HABITS)
    device = FaultyDevice({("vision", call): out_of_memory for call in (1, 2)})
    faulty(device)
    adapt(one_step, tmp_path / "b", HABITS, note=notes.append)
    assert device.calls["vision"] > 4
    [first, second] = [note for note in notes if "out of memory" in note]
    pages = int(first.split()[4])
    assert first == f"out of memory on {pages} pages at once: they are seen {pages // 2} at a time"
    assert second == f"out of memory on {pages // 2} pages at once: they are seen {pages // 4} at a time"
    assert [row["vision_pass_pages"] for row in log(tmp_path / "a") + log(tmp_path / "b")] == [None, pages // 4]
    for [mine, theirs] in zip(log(tmp_path / "b"), log(tmp_path / "a"), strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], abs=1e-4)
        assert mine["norm"] == pytest.approx(theirs["norm"], rel=1e-3)


def test_pages_are_seen_in_pieces_whose_size_bounds_the_memory(
    little: Adaptation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen(folder: Path) -> tuple[int, Seen, int]:
        """Passes of the tower, what it saw, and the bytes that were estimated, of four chats of up to three pages."""
        training = prepare(replace(little, batch=4), folder, HABITS)
        device = FaultyDevice({})
        with device.under(training.adapter.reader.model):
            found = training.student.see([training.data.train(i) for i in range(4)])
        return device.calls["vision"], found, _seeing(training, Load.of(training))

    passes, whole, most = seen(tmp_path / "a")
    monkeypatch.setattr("freqq.adapt.student.MOST_PATCHES", 500)
    monkeypatch.setattr("freqq.adapt.memory.MOST_PATCHES", 500)
    more, parts, less = seen(tmp_path / "b")
    assert (passes, more > 1) == (1, True)
    assert parts.shapes == whole.shapes
    assert torch.allclose(parts.states, whole.states, atol=1e-4)
    assert less < most


def test_where_memory_runs_out_in_a_pass_the_log_says_how_many_examples_fit(
    little: Adaptation, tmp_path: Path, faulty: Any
) -> None:
    faulty(FaultyDevice({("prefill", 3): out_of_memory}))
    adapt(replace(little, steps=2, batch=4), tmp_path / "a", HABITS)
    assert [row["pass_examples"] for row in log(tmp_path / "a")] == [None, 2]


def test_a_training_goes_on_from_a_log_of_before_sizes_were_in_it(tmp_path: Path) -> None:
    rows = [{"step": step, "level": "mild", "loss": 2.0, "seconds": 1.0} for step in (1, 2)]
    later = ("pass_examples", "vision_pass_pages")
    before = pa.schema([field for field in SCHEMA if field.name not in later])
    pq.write_table(pa.Table.from_pylist(rows, before), tmp_path / NAME)
    found = Log(tmp_path, 2)
    found.add(step=3, level="mild", loss=1.5, pass_examples=2)
    found.write()
    assert [(row["loss"], row["pass_examples"]) for row in log(tmp_path)] == [(2.0, None), (2.0, None), (1.5, 2)]


@pytest.mark.parametrize("fault", [out_of_memory, MemoryError])
def test_a_step_for_which_there_is_no_memory_says_what_takes_less(
    little: Adaptation, tmp_path: Path, faulty: Any, fault: Any
) -> None:
    faulty(FaultyDevice({("prefill", 1): fault}))
    with pytest.raises(OutOfMemory, match="a step of 1 examples: use a smaller --batch-size, --gradient-checkpointing"):
        adapt(little, tmp_path / "a", HABITS)


def test_a_device_that_breaks_in_training_is_named(little: Adaptation, tmp_path: Path, faulty: Any) -> None:
    faulty(FaultyDevice({("prefill", 1): BREAKING["ecc"]}))
    with pytest.raises(BrokenDevice, match="uncorrectable ECC"):
        adapt(little, tmp_path / "a", HABITS)


@pytest.mark.slow
def test_it_learns(tmp_path: Path) -> None:
    adapt(replace(SMALL, batch=4, questions=6, steps=10), tmp_path / "a", replace(HABITS, validate_every=5, held_out=4))
    first, last = (row["held_loss"] for row in log(tmp_path / "a") if row["held_loss"] is not None)
    assert last < first - 0.03


def test_a_stopped_and_killed_training_ends_at_the_same_loss_curve_and_weights(
    little: Adaptation, whole: Path, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def interrupt(step: int, steps: int, values: dict[str, float]) -> None:
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    def kill(step: int, steps: int, values: dict[str, float]) -> None:
        if step == 5:
            raise Killed  # two steps behind the last checkpoint

    with pytest.raises(Interrupted, match="after step 2"):
        adapt(little, tmp_path / "a", HABITS, interrupt)
    with pytest.raises(Killed):
        adapt(little, tmp_path / "a", HABITS, kill)
    adapt(little, tmp_path / "a", HABITS)
    assert log(tmp_path / "a") == log(whole)
    ours, theirs = load_file(tmp_path / "a" / WEIGHTS), load_file(whole / WEIGHTS)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("step", [3, 6])
@pytest.mark.parametrize("place", ["loss", "answers"])
def test_a_signal_in_a_validation_ends_it_and_it_is_done_again(
    little: Adaptation, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, place: str
) -> None:
    """No pass of the model follows the one in which the signal comes: the first over questions, or the first token."""
    training = prepare(little, tmp_path / "a", HABITS)
    validator, reached, passes = training.validator, ["loss"], []
    marks = validator._marks

    def reach_answers(at: int) -> Any:
        reached.append("answers")
        return marks(at)

    def send_signal(module: Any, args: Any) -> None:
        if training.step == step and reached[-1] == place:
            passes.append(module)
            os.kill(os.getpid(), signal.SIGTERM)

    def report(at: int, steps: int, values: dict[str, float]) -> None:
        reached.append("loss")
        if "held_loss" in values:
            reports.append(at)

    monkeypatch.setattr(validator, "_marks", reach_answers)
    reports: list[int] = []
    head = training.adapter.reader.model.lm_head
    with head.register_forward_pre_hook(send_signal), pytest.raises(Interrupted, match=f"after step {step}"):
        training.run(report)
    assert (len(passes), step in reports) == (1, False)
    adapt(little, tmp_path / "a", HABITS)
    assert log(tmp_path / "a") == log(whole)


def test_a_finished_training_does_nothing_more(little: Adaptation, whole: Path) -> None:
    seen = []
    adapt(little, whole, HABITS, lambda *values: seen.append(values))
    assert seen == []


def test_another_training_in_the_same_folder_is_refused(little: Adaptation, whole: Path) -> None:
    with pytest.raises(UserError, match="rank 2 there, 3 here"):
        adapt(replace(little, rank=3), whole, HABITS)


def test_a_training_goes_on_with_the_data_that_it_began_with(
    little: Adaptation, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freqq.adapt.training_data.MINI_REVISION", "another")
    with pytest.raises(UserError, match=r"data_revision .* there, 'another' here"):
        adapt(little, whole, HABITS)
    before = (whole / SETTINGS).read_text()
    older = {name: value for name, value in json.loads(before).items() if name != "data_revision"}
    (whole / SETTINGS).write_text(json.dumps(older))
    assert prepare(little, whole, HABITS).finished  # a training of before revisions of data were kept
    (whole / SETTINGS).write_text(before)


def test_a_folder_in_which_another_process_trains_is_refused(little: Adaptation, tmp_path: Path) -> None:
    with lock(tmp_path, Shard()), pytest.raises(UserError, match=rf"held by process {os.getpid()} .* another --out"):
        adapt(little, tmp_path, HABITS)
    assert not (tmp_path / SETTINGS).exists()


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_adapter(little: Adaptation, tmp_path: Path) -> None:
    training = prepare(little, tmp_path, HABITS)

    def spoil(step: int, steps: int, values: dict[str, float]) -> None:
        """Damage what is trained, as a step that goes astray does."""
        if step == 4:
            next(iter(training.parameters.values())).data.fill_(math.nan)

    with pytest.raises(FreqqError, match=r"diverged in step 5 .*keeps the adapter of step 3"):
        training.run(spoil)
    kept = load_file(tmp_path / WEIGHTS)
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())
    assert (tmp_path / CHECKPOINT).is_file()


def test_training_that_helps_no_more_ends_early(little: Adaptation, tmp_path: Path) -> None:
    idle = replace(little, steps=50, rate=1e-30, merger_rate=1e-30)
    adapt(idle, tmp_path / "a", Habits(validate_every=1, patience=2, held_out=1, answers=1))
    assert len(log(tmp_path / "a")) == 3


class Time:
    """A clock on which a step takes `seconds` of its number and a validation takes `validation`."""

    def __init__(self, seconds: Callable[[int], float], validation: float) -> None:
        self.now, self.seconds, self.validation = 0.0, seconds, validation

    def train(self, little: Adaptation, folder: Path, minutes: float, validate_every: int = 4) -> list[dict]:
        """The log of a training by this clock, for one process that started when it read 0."""
        habits = Habits(validate_every=validate_every, held_out=1, answers=1)
        training = prepare(replace(little, steps=0, minutes=minutes), folder, habits, 0.0, lambda: self.now)
        example = training.data.train

        def slow(i: int) -> Example:
            self.now += self.seconds(i)  # a step of `little` has one example
            return example(i)

        def report(step: int, steps: int, values: dict[str, float]) -> None:
            self.now += self.validation if "held_loss" in values else 0.0

        training.data = replace(training.data, train=slow)
        training.run(report)
        return log(folder)


def test_a_time_limit_holds_on_a_machine_that_gets_slower(little: Adaptation, tmp_path: Path) -> None:
    """The first steps alone would promise 34 of them: 60 s, less a validation, at a second and a quarter each."""
    busy = Time(lambda i: 1.0 if i < 8 else 4.0, validation=2.0)
    rows = busy.train(little, tmp_path / "a", minutes=1.0)
    assert 50 < busy.now <= 60
    assert len(rows) < 20
    assert rows[-1]["held_loss"] is not None
    assert rows[-1]["rate"] < 0.1 * max(row["rate"] for row in rows)


def test_a_time_limit_is_used_up_on_a_machine_that_gets_faster(little: Adaptation, tmp_path: Path) -> None:
    freed = Time(lambda i: 6.0 if i < 4 else 1.5, validation=2.0)
    assert len(freed.train(little, tmp_path / "a", minutes=1.0)) > 4 + 15
    assert 55 < freed.now <= 60


def test_the_time_of_a_stopped_training_counts(little: Adaptation, tmp_path: Path) -> None:
    early, late = (Time(lambda i: 1.0, validation=0.5) for _ in range(2))
    with pytest.raises(ZeroDivisionError):
        Time(lambda i: 1.0 if i < 10 else 1 / 0, validation=0.5).train(little, tmp_path / "a", minutes=0.25)
    rows = early.train(little, tmp_path / "a", minutes=0.25)
    assert early.now < 15 - 8  # seconds up to the checkpoint behind step 8
    assert len(rows) <= len(late.train(little, tmp_path / "b", minutes=0.25)) == 12


def test_a_time_limit_that_is_over_before_the_first_step_leaves_one(little: Adaptation, tmp_path: Path) -> None:
    assert len(Time(lambda i: 1.0, validation=1.0).train(little, tmp_path / "a", minutes=1e-9)) == 1


def test_a_validation_that_would_take_the_whole_time_is_shortened(little: Adaptation, tmp_path: Path) -> None:
    """A clock by which everything takes long: of 12 held-out chats a batch of 4 stays, also after a stop."""
    readings = iter(range(10**6))
    timed = replace(little, steps=0, minutes=0.5)
    notes: list[str] = []

    def stop(step: int, steps: int, values: dict[str, float]) -> None:
        raise KeyboardInterrupt

    habits = Habits(validate_every=1, held_out=12, answers=12)
    training = prepare(timed, tmp_path, habits, 0.0, lambda: next(readings) * 5.0)
    with pytest.raises(KeyboardInterrupt):
        training.run(stop, notes.append)
    assert notes == ["validating on 4 of 12 held-out chats, to keep to --minutes 0.5"]
    training._store()
    again = prepare(timed, tmp_path, habits)
    assert [example.questions for example in again.validator.examples] == [
        one.questions for one in training.validator.examples
    ]
    assert (len(again.validator.examples), len(again.validator.answered)) == (4, 4)


@given(
    st.lists(st.floats(0.01, 100), min_size=1, max_size=60),
    st.floats(0, 50),
    st.floats(0, 20),
    st.floats(1, 1000),
)
def test_what_is_planned_ends_within_the_limit_but_for_the_step_that_surprises(
    durations: list[float], first: float, validation: float, limit: float
) -> None:
    """A step is begun only if one as long as the last ends in time, and no time for one is left unused."""
    plan = TimeLimit(limit, first, validation)
    now, step = first, 0
    for took in durations:
        shares = plan.share(now), plan.share(now + took)
        assert 0 <= shares[0] <= shares[1] <= 1
        now, step = now + took, step + 1
        assert plan.steps(step, now, took) >= step
        if plan.steps(step, now, took) == step:
            assert now + took > plan.last - 1e-6
            return
        assert now + took <= plan.last + 1e-6


@given(st.integers(0, 100), st.floats(0, 1))
def test_the_timed_rate_rises_and_falls_to_nothing(step: int, share: float) -> None:
    assert 0 <= timed_rate_factor(step, share) <= 1
    assert timed_rate_factor(step, share) <= timed_rate_factor(step + 1, share)
    assert timed_rate_factor(step, 1.0) == 0


def test_levels_are_drawn_and_whole_pages_are_one_of_them(little: Adaptation, tmp_path: Path) -> None:
    several = replace(little, levels=("baseline", "mild", "extreme"), steps=8, distill=0.5)
    adapt(several, tmp_path / "a", Habits(validate_every=8, held_out=1, answers=1))
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


def test_a_model_that_does_not_fit_is_refused_before_it_trains(little: Adaptation, tmp_path: Path) -> None:
    with pytest.raises(FreqqError, match=r"GB are needed .*GB are there: use a smaller --batch-size"):
        adapt(replace(little, batch=10**7), tmp_path / "a", HABITS)
    assert prepare(little, tmp_path / "a", HABITS).step == 0  # a smaller one is not taken for another training


@pytest.mark.slow
def test_two_processes_stop_together_and_take_the_steps_of_one_that_accumulates(
    little: Adaptation, tmp_path: Path
) -> None:
    """Each of two processes has half of a step's examples; their gradients' mean is that of both halves.

    One of them gets a signal between two steps, then one in a validation, and validates on fewer examples, yet both
    stop, and both keep the same scores.
    """
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    two = [*launch, "-m", "tests.adapt.ranks", little.model, str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
    done = subprocess.run(two, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "two" / "best-0").read_text() == (tmp_path / "two" / "best-1").read_text()
    three_steps = replace(little, steps=3)
    adapt(replace(three_steps, accumulate=2), tmp_path / "one", HABITS)
    start = prepare(three_steps, tmp_path / "start", HABITS)
    start.adapter.save(tmp_path / "start")
    ours, theirs, before = (load_file(tmp_path / name / WEIGHTS) for name in ("two", "one", "start"))
    for name, tensor in theirs.items():
        moved = (tensor - before[name]).norm()
        assert (ours[name] - tensor).norm() <= 0.01 * moved, name
    assert (tmp_path / "two" / CARD).read_text() == (tmp_path / "one" / CARD).read_text()


LEARNING = replace(SMALL, method="token-vq", levels=("baseline", "extreme"), learn_codebook=True, steps=4)


def test_a_codebook_that_follows_goes_on_after_a_stop_and_is_the_adapters_own(tmp_path: Path) -> None:
    """Two trainings, one of them stopped, end with the same codebook, which the card names and a reader finds."""

    def stop(step: int, steps: int, values: dict[str, float]) -> None:
        if step == 3:
            raise KeyboardInterrupt

    habits = replace(HABITS, validate_every=2)
    whole = adapt(LEARNING, tmp_path / "whole", habits)
    with pytest.raises(KeyboardInterrupt):
        adapt(LEARNING, tmp_path / "a", habits, stop)
    adapt(LEARNING, tmp_path / "a", habits)
    for name in (CARD, WEIGHTS):
        assert (tmp_path / "a" / name).read_bytes() == (whole / name).read_bytes()
    (file,) = whole.glob("codebook-*.safetensors")
    book = read_token_codebook(file)
    assert AdapterCard.read(whole).overrides == (("codebook", book.id.hex()),)
    reader = load_reader("tiny")
    grid, *_ = reader.see(mini_data(7, 1, 1).held_out(0).pages)
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
    assert small["activations"] < wide["activations"] <= 2 * small["activations"]
    assert wide["weights"] == small["weights"] == recomputed["weights"]
    assert recomputed["activations"] < small["activations"]
    assert lora["trained"] > small["trained"]
