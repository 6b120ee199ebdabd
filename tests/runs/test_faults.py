"""A broken device is not a broken sample, and what is short of memory is read in smaller pieces."""

from dataclasses import replace

import pytest
import torch

from freqq.errors import BrokenDevice, FreqqError, Interrupted, OutOfMemory, UserError
from freqq.glm.device_errors import classified
from freqq.glm.load import load_reader
from freqq.glm.reader import Reader
from freqq.runs import shard_process
from freqq.runs.directory import RunDirectory
from freqq.runs.failures import stage
from freqq.runs.parts import answered
from freqq.runs.run import run
from freqq.runs.settings import Settings
from freqq.tokens.base import Quantizer
from tests.runs.faulty_device import BREAKING, PLACES, FaultyDevice, out_of_memory
from tests.runs.killing import table


@pytest.mark.parametrize("fault", BREAKING)
def test_what_a_device_raises_is_its_fault(fault):
    found = classified(BREAKING[fault]())
    assert isinstance(found, BrokenDevice)
    assert found.exit_code == 69
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("CUDA error: so a sample says"),
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
        UserError("there is no device cuda:7: CUDA error"),
        KeyError("cuDNN error"),
    ],
)
def test_any_other_error_stays_as_it_is(error):
    assert classified(error) is error


@pytest.mark.parametrize(
    "error",
    [
        out_of_memory(),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried 9"),
    ],
)
def test_a_lack_of_memory_is_no_broken_device(error):
    assert isinstance(classified(error), OutOfMemory)


def test_a_broken_device_ends_a_stage_and_is_no_outcome():
    def work(values):
        raise BREAKING["ecc"]()

    with pytest.raises(BrokenDevice, match="uncorrectable ECC"):
        stage(work, [1, 2])


@pytest.fixture(scope="module")
def reader(random_model: str) -> Reader:
    return load_reader(random_model, device="cpu")


@pytest.fixture(scope="module")
def settings(random_model: str) -> Settings:
    return Settings(model=random_model, limit=5, levels=("mild",), max_new_tokens=3)


@pytest.fixture
def same_reader(monkeypatch, reader):
    """The model is loaded once for all runs of this file."""
    monkeypatch.setattr(shard_process, "load", lambda weights, placement: reader)
    yield reader
    reader.stop_requested = lambda: False


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    return table(run(settings, tmp_path_factory.mktemp("whole") / "run"))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", ["accelerator error", "driver's out of memory", "cublas", "cudnn", "ecc", "lost"])
def test_a_device_that_breaks_is_no_row_and_the_next_process_goes_on(
    same_reader, settings, whole, tmp_path, fault, place
):
    device = FaultyDevice({(place, 2): BREAKING[fault]})
    with device.under(same_reader.model), pytest.raises(BrokenDevice, match="run the same command again"):
        run(settings, tmp_path / "run", machine=shard_process.Machine(batch_size=2))
    there = answered(tmp_path / "run")
    assert there == answered(tmp_path / "run", retry_failed=True)
    assert table(run(settings, tmp_path / "run")) == whole


@pytest.mark.parametrize("passes", [0, 2])
def test_a_device_that_never_works_again_is_no_fault_of_a_sample(same_reader, settings, whole, tmp_path, passes):
    device = FaultyDevice({("vision", call): BREAKING["ecc"] for call in range(passes + 1, 100)})
    with device.under(same_reader.model):
        for _ in range(8):
            with pytest.raises(BrokenDevice, match="run the same command again"):
                run(settings, tmp_path / "run", machine=shard_process.Machine(batch_size=1))
    assert len(answered(tmp_path / "run")) == 2 * passes
    assert table(run(settings, tmp_path / "run")) == whole


def test_a_device_may_break_between_the_calls_of_the_model(same_reader, settings, whole, tmp_path, monkeypatch):
    """The second batch runs out of memory, and the device fails when memory is given back."""

    def break_down():
        raise BREAKING["ecc"]()

    device = FaultyDevice({("prefill", 3): out_of_memory})
    with monkeypatch.context() as patch, device.under(same_reader.model):
        patch.setattr(torch.cuda, "empty_cache", break_down)
        with pytest.raises(BrokenDevice, match=r"uncorrectable ECC .* run the same command again"):
            run(settings, tmp_path / "run", machine=shard_process.Machine(batch_size=2))
    assert len(answered(tmp_path / "run")) == 4
    assert table(run(settings, tmp_path / "run")) == whole


def test_a_device_may_break_while_an_adapter_moves_to_it(same_reader, settings, tmp_path, monkeypatch):
    def attach(*given):
        raise BREAKING["cublas without a handle"]()

    monkeypatch.setattr(shard_process, "BatchEvaluator", attach)
    with pytest.raises(BrokenDevice, match="CUBLAS_STATUS_NOT_INITIALIZED"):
        run(settings, tmp_path / "run")


def test_a_method_that_runs_out_of_memory_is_tried_again_sample_by_sample(
    same_reader, settings, whole, tmp_path, monkeypatch
):
    begin, calls = Quantizer.begin, []

    def begin_with_less(self, grid):
        calls.append(grid)
        if len(calls) == 2:
            raise out_of_memory()
        return begin(self, grid)

    monkeypatch.setattr(Quantizer, "begin", begin_with_less)
    path = run(settings, tmp_path / "run", machine=shard_process.Machine(batch_size=4))
    assert len(calls) > 5
    assert table(path) == whole


@pytest.mark.parametrize("methods", [["baseline"], ["token"], ["baseline", "token"]])
def test_a_sample_that_breaks_the_device_twice_alone_at_an_arm_is_a_row_with_its_error(
    same_reader, settings, whole, tmp_path, monkeypatch, methods
):
    """The other arm, which may need less memory, answers it."""
    deadly = whole[2]["sample_id"]
    views = shard_process.BatchEvaluator._views

    def view(self, arm, rendered, plain):
        if arm.name in methods and any(one.sample.id == deadly for one in rendered):
            raise BREAKING["assert"]()
        return views(self, arm, rendered, plain)

    monkeypatch.setattr(shard_process.BatchEvaluator, "_views", view)
    machine = shard_process.Machine(batch_size=3)
    for _ in range(1 + 2 * len(methods)):  # once in its batch, twice alone at each arm
        with pytest.raises(BrokenDevice):
            run(settings, tmp_path / "run", machine=machine)
    path = run(settings, tmp_path / "run", machine=machine)
    failed = [row for row in table(path) if row["error"]]
    assert [(row["sample_id"], row["method"]) for row in failed] == [(deadly, method) for method in methods]
    assert all("2 workers died while they had only this sample" in row["error"] for row in failed)
    answers = [r for r in whole if r["sample_id"] != deadly or r["method"] not in methods]
    assert [row for row in table(path) if not row["error"]] == answers
    assert not list(path.glob(".suspects*"))


@pytest.mark.parametrize(
    ("place", "column", "size"),
    [("vision", "vision_pass_pages", 4), ("prefill", "prefill_chunk", 1024), ("decode", "prefill_chunk", 1024)],
)
def test_where_memory_runs_out_the_row_says_which_piece_worked(
    same_reader, settings, whole, tmp_path, place, column, size
):
    device = FaultyDevice({(place, 1): out_of_memory})
    with device.under(same_reader.model):
        path = run(settings, tmp_path / "run", machine=shard_process.Machine(batch_size=4))
    rows = RunDirectory(path).read()
    assert {getattr(row, column) for row in rows} == {None, size}
    assert [row.error for row in rows] == [None] * len(rows)
    assert [row.response for row in rows] == [row["response"] for row in whole]


@pytest.mark.parametrize("place", PLACES)
def test_a_stop_ends_an_answer_between_two_tokens_and_stores_nothing_of_it(
    same_reader, settings, whole, tmp_path, monkeypatch, place
):
    """The stop comes at the fifth call of a place; from then on the language model makes no token."""
    stops = []

    class Stopped(shard_process.StopRequest):
        def __enter__(self):
            stops.append(self)
            return super().__enter__()

    monkeypatch.setattr("freqq.runs.run.StopRequest", Stopped)

    class Stopping(FaultyDevice):
        def call(self, where):
            super().call(where)
            if self.calls[place] == 5 and not stops[-1].requested:
                stops[-1].requested = True
                self.after = Counted(self.calls)

    device = Stopping({})
    long = replace(settings, max_new_tokens=40)
    with device.under(same_reader.model), pytest.raises(Interrupted):
        run(long, tmp_path / "run", machine=shard_process.Machine(batch_size=1))
    assert device.calls["prefill"] + device.calls["decode"] <= device.after.tokens + 1
    device.faults.clear()
    monkeypatch.undo()
    assert len(answered(tmp_path / "run")) < 10
    assert table(run(long, tmp_path / "run")) == table(run(long, tmp_path / "again"))


class Counted:
    def __init__(self, calls):
        self.tokens = calls["prefill"] + calls["decode"]


def test_data_that_change_while_the_model_loads_are_refused(settings, tmp_path, monkeypatch, reader):
    def load(weights, placement):
        changed = replace(settings.source, revision="another")
        monkeypatch.setattr("freqq.runs.settings.source", lambda *args: changed)
        return reader

    monkeypatch.setattr(shard_process, "load", load)
    with pytest.raises(FreqqError, match=r"the data, the model or .* changed since the run was planned"):
        run(settings, tmp_path / "run")
