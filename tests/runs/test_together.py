"""In half precision a batch can change answers, so that a row's key knows how large batches may be."""

import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freqq.errors import UserError
from freqq.runs.directory import RunDirectory
from freqq.runs.machine import MOST_BESIDE, Machine
from freqq.runs.plan import BASELINE_ARM, Identity, config_hash
from freqq.runs.run import run
from freqq.runs.settings import Settings
from freqq.runs.verify import verify

MACHINES = (Machine(), Machine(batch_size=4), Machine(batch_size=4, max_batch_tokens=900), Machine(batch_size=5))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_keys_know_of_batches_in_half_precision_alone(dtype):
    settings = Settings()
    identities = [Identity("r", dtype, together=machine.together(settings, dtype)) for machine in MACHINES]
    keys = {config_hash(settings, identity, BASELINE_ARM) for identity in identities}
    assert len(keys) == (1 if dtype == "float32" else len(MACHINES))
    if dtype == "float32":
        assert keys == {config_hash(settings, Identity("r", dtype), BASELINE_ARM)}


def test_what_a_machine_does_by_itself_is_what_it_does_when_told():
    settings, dtype = Settings(), "bfloat16"
    usual = Machine().together(settings, dtype)
    assert usual == replace(Machine(), batch_size=usual[0]).together(settings, dtype)


def test_a_run_in_half_precision_goes_on_in_the_same_batches_alone(random_model, tmp_path):
    settings = Settings(model=random_model, dtype="bfloat16", limit=3, methods=("token",), max_new_tokens=3)
    out = run(settings, tmp_path / "run", machine=Machine(batch_size=2))
    before = RunDirectory(out).read()
    assert {row.error for row in before} == {None}
    assert {row.dtype for row in before} == {"bfloat16"}
    with pytest.raises(UserError, match=r"together = \[2, null\], not \[3, null\]"):
        run(replace(settings, limit=5), out, machine=Machine(batch_size=3))
    grown = run(replace(settings, limit=5), out, machine=Machine(batch_size=2))
    assert {row.key for row in before} <= {row.key for row in RunDirectory(grown).read()}
    assert all(finding.passed for finding in verify(grown)), verify(grown)


@given(st.integers(1, 64), st.integers(1, 64))
def test_replicas_share_the_cores_for_what_runs_beside_them(gpus, workers):
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for machine, replicas in ((Machine(gpus=gpus), gpus), (Machine(workers=workers), workers), (Machine(), 1)):
        threads = machine.threads_beside
        assert 1 <= threads <= MOST_BESIDE
        assert threads == 1 or (threads + 1) * replicas <= cores
