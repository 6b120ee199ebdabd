"""A clock that jumps changes what rows say of when they were made, and nothing else."""

import time
from datetime import UTC, datetime

import pytest

from freqq.errors import Interrupted
from freqq.runs import evaluate
from freqq.runs.machine import Machine
from freqq.runs.parts import part_files
from freqq.runs.run import run
from freqq.runs.settings import Settings
from freqq.runs.stop import StopRequest
from freqq.runs.verify import verify
from tests.runs.killing import table

YEARS = (2040, 1990, 2027, 1971)


class JumpingClock(datetime):
    """Each look at it is decades from the one before."""

    looks = 0

    @classmethod
    def now(cls, tz=None):
        cls.looks += 1
        return datetime(YEARS[cls.looks % len(YEARS)], 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings(random_model):
    return Settings(model=random_model, limit=9, levels=("mild",), max_new_tokens=3)


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    return table(run(settings, tmp_path_factory.mktemp("whole") / "run"))


def test_a_run_that_is_stopped_and_goes_on_while_the_clock_jumps_gives_the_same_table(
    settings, whole, tmp_path, monkeypatch
):
    stops = []

    class Stopped(StopRequest):
        def __enter__(self):
            stops.append(self)
            return super().__enter__()

    def stop_after_four(done, total):
        if done - before >= 4:
            stops[-1].requested = True

    monkeypatch.setattr("freqq.runs.run.StopRequest", Stopped)
    monkeypatch.setattr(evaluate, "datetime", JumpingClock)
    monkeypatch.setattr(time, "time", lambda: JumpingClock.now().timestamp())
    monkeypatch.setattr(time, "time_ns", lambda: int(JumpingClock.now().timestamp() * 1e9))
    before, path = 0, tmp_path / "run"
    while True:
        try:
            run(settings, path, machine=Machine(batch_size=2), progress=stop_after_four)
            break
        except Interrupted:
            before += 4
    years = {part.name.split("-")[3][:4] for part in part_files(path)}
    assert len(years) > 1
    assert len(part_files(path)) == 5
    assert table(path) == whole
    assert all(finding.passed for finding in verify(path))
