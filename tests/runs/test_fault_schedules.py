"""Random schedules of faults, kills, stops and resumes: every key once, no healthy sample lost, no sick worker kept.

The supervisor, the loop of a shard process, batches, parts and merging are the real ones; processes run in this one,
one after another, on a device that is told when to fail.
"""

import random
import signal
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from copy import copy
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from freqq.errors import BrokenDevice, FreqqError
from freqq.glm.place import Placement
from freqq.runs.batches import Remaining, control
from freqq.runs.directory import RESULTS, RunDirectory
from freqq.runs.evaluate import Answered
from freqq.runs.failures import stage
from freqq.runs.grading import failed
from freqq.runs.local_loop import evaluate_remaining
from freqq.runs.machine import Machine
from freqq.runs.merge import merge
from freqq.runs.parts import PartWriter, answered
from freqq.runs.plan import BASELINE_ARM
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from freqq.runs.shard_process import Assignment, Replica
from freqq.runs.stop import StopRequest
from freqq.runs.supervisor import LOADING_STRIKES, MOST_STRIKES, Supervisor
from freqq.runs.suspects import Suspects
from freqq.runs.views import Prepared
from tests.conftest import FULL
from tests.runs.faulty_device import BREAKING, PLACES
from tests.runs.test_schema import make_row

SAMPLES = 12
HASHES = ("h", "g")
FAILS_LOADING = MOST_STRIKES // LOADING_STRIKES
SCHEDULES = 2000 if FULL else 200


class Named:
    """A sample as far as batches are concerned."""

    def __init__(self, id: str) -> None:
        self.id = id


class Killed(BaseException):
    """A process ends here, and stores nothing more."""


class Counting:
    """A size that is counted by and by."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    @property
    def done(self) -> bool:
        return self.chance.random() < 0.4


class Evaluator:
    """Reads samples on a GPU: each arm sees, reads and answers them, and sizes are counted later."""

    def __init__(self, world: "World", gpu: str) -> None:
        self.world, self.gpu = world, gpu
        self.chance = random.Random(world.chance.randrange(1 << 32))

    def prepare(self, samples, todo):
        return Prepared(samples, todo, ())

    def answer(self, batch):
        for arm, ids in batch.todo:
            wanted = [s for s in batch.samples if s.id in ids]
            outcomes = wanted
            for _ in PLACES:
                outcomes = stage(partial(self.compute, arm.level), outcomes)
            row = make_row(config_hash=arm.level, error=None, response="an answer")
            rows = [replace(row, sample_id=s.id) for s in wanted]
            made = [failed(r, o) if isinstance(o, Exception) else r for r, o in zip(rows, outcomes, strict=True)]
            yield Answered([partial(copy, row) for row in made], [Counting(self.chance)])

    def compute(self, known_as, batch):
        ids = {s.id for s in batch}
        if {(id, known_as) for id in ids} & self.world.poisonous:
            raise BREAKING["assert"]()
        if ids & self.world.sick:
            raise ValueError("no such page")
        if self.world.fails(self.gpu, ids):
            raise self.chance.choice(list(BREAKING.values()))()
        return batch


class World:
    """What happens when, and what came of it.

    A GPU may be broken: it fails when the model loads, in every pass, or in every pass from one on. All other faults
    and kills pass, and hit a sample that is read alone once at most: nobody could tell a second one from its fault.
    """

    def __init__(self, seed: int, folder: Path, gpus: int = 3, batch_size: int = 3) -> None:
        self.chance = chance = random.Random(seed)
        self.run, self.batch_size = folder, batch_size
        ids = [f"s-{i}" for i in range(SAMPLES)]
        self.samples = {id: Named(id) for id in ids}
        chosen = chance.sample(ids, chance.choice([0, 0, 1, 2]))  # of which one arm dies, or each
        self.poisonous = {(id, h) for id in chosen for h in chance.choice([HASHES, HASHES[:1], HASHES[1:]])}
        self.sick = set(chance.sample(ids, chance.choice([0, 1])))
        self.arms = [(replace(BASELINE_ARM, level=h), h) for h in HASHES]
        self.gpus = [f"cuda:{i}" for i in range(gpus)]
        self.broken: dict[str, int] = {}  # and how often processes may die on each
        self.left = chance.randrange(8)  # faults and kills that are to come
        self.hit: set[str] = set()
        self.pids = count()

    def begin(self) -> None:
        """The command is started, maybe on another machine."""
        broken = self.chance.sample(self.gpus, self.chance.choice([0, 0, *range(1, len(self.gpus) + 1)]))
        self.broken = {gpu: self.chance.choice([FAILS_LOADING, MOST_STRIKES]) for gpu in broken}

    def happens(self, odds: float, at: Collection[str] = ()) -> bool:
        """Whether one of the faults that are left happens now, while some samples are read."""
        now = self.left > 0 and self.chance.random() < odds and not (len(at) == 1 and self.hit.issuperset(at))
        self.left -= now
        if now and len(at) == 1:
            self.hit |= set(at)
        return now

    def fails(self, gpu: str, at: Collection[str]) -> bool:
        """Whether a pass fails on a GPU, maybe with all that follow."""
        now = gpu not in self.broken and self.happens(0.03, at)
        if now and self.chance.random() < 0.5:
            self.broken[gpu] = MOST_STRIKES
        return now or gpu in self.broken


class Simulated:
    """A process that does its work when it is waited for."""

    def __init__(self, assignment: Assignment, pid: int) -> None:
        self.assignment, self.pid, self.code = assignment, pid, None

    def terminate(self) -> None:
        self.code = 75

    def kill(self) -> None:
        self.code = -signal.SIGKILL

    def wait(self) -> int:
        return self.code


class SimulatedProcesses:
    def __init__(self, world: World, stop: StopRequest) -> None:
        self.world, self.stop, self.live = world, stop, []
        self.died: Counter[str] = Counter()

    def start(self, assignment: Assignment) -> Simulated:
        self.live.append(Simulated(assignment, next(self.world.pids)))
        return self.live[-1]

    def wait(self, seconds: float):
        process = self.world.chance.choice(self.live)
        self.live.remove(process)
        reports: list[dict] = []
        code = process.code if process.code is not None else self.work(process.assignment, reports)
        gpu = process.assignment.replica.placement.device
        if gpu in self.world.broken and code == BrokenDevice.exit_code:
            self.died[gpu] += 1
            assert self.died[gpu] <= self.world.broken[gpu]
        if self.world.happens(0.05):
            raise Killed  # the supervisor and all of its processes
        return [(process, reports, code)]

    def work(self, assignment: Assignment, reports: list[dict]) -> int:
        world, gpu = self.world, assignment.replica.placement.device
        if world.broken.get(gpu) == FAILS_LOADING or world.happens(0.05):
            return BrokenDevice.exit_code

        def report(what: dict) -> None:
            reports.append(what)
            at = next((what["at"] for what in reversed(reports) if "at" in what), [])
            if world.happens(0.02, at):
                raise Killed
            self.stop.requested = self.stop.requested or world.happens(0.02)

        samples, there = [world.samples[id] for id in assignment.samples], answered(world.run)
        remaining = Remaining(samples, world.arms, there, assignment.suspects)
        good = answered(world.run, retry_failed=True) if assignment.suspects else set()
        check = control(list(world.samples.values()), world.arms, good)
        writer = PartWriter(world.run, Shard(), {})
        try:
            report({"ready": True})
            done = evaluate_remaining(
                Evaluator(world, gpu), writer, remaining, world.batch_size, self.stop, report, check
            )
        except BrokenDevice as error:
            reports.append({"broken": str(error)})
            return BrokenDevice.exit_code
        except Killed:
            return -signal.SIGKILL
        if done:
            reports.append({"done": True})
            return -signal.SIGSEGV if world.happens(0.2) else 0  # a library crashes while the process ends
        return 75


def attempt(world: World) -> bool:
    """One run of the command; whether it came to its end.

    Raises
    ------
    FreqqError
        If no worker is left.
    """
    stop = StopRequest()
    suspects = Suspects.read(world.run, Shard())
    remaining = Remaining(list(world.samples.values()), world.arms, answered(world.run), suspects.deaths)
    if not remaining:
        return True
    settings = Settings(max_new_tokens=3)
    replicas = [Replica(world.run, settings, None, Placement("float32", gpu), Shard(), Machine()) for gpu in world.gpus]
    ids = tuple(s.id for s in remaining.samples if s.id not in suspects.deaths)
    shares = [Assignment(replicas[0], ids[i :: len(replicas)]) for i in range(len(replicas))]

    def give_up(id: str, label: str, reason: str) -> int:
        [h] = [known_as for arm, known_as in world.arms if arm.label == label]
        writer = PartWriter(world.run, Shard(), {})
        writer.add([make_row(sample_id=id, config_hash=h, error=f"FreqqError: {reason}", response=None)])
        writer.flush()
        return 1

    supervisor = Supervisor(
        replicas, shares, SimulatedProcesses(world, stop), give_up, lambda rows: None, lambda text: None, suspects
    )
    try:
        done = supervisor.run(stop)
    except Killed:
        return False
    except FreqqError:
        suspects.write(world.run, Shard())
        raise
    suspects.write(world.run, Shard())
    return done


def folder_of(path: Path) -> Path:
    (path / "parts").mkdir(parents=True)
    return path


@pytest.mark.parametrize("first", range(0, SCHEDULES, 20))
def test_nothing_is_lost_nothing_is_twice_and_no_sick_worker_is_kept(tmp_path, first):
    for seed in range(first, first + 20):
        folder = folder_of(tmp_path / str(seed))
        world = World(seed, folder, gpus=1 + seed % 3, batch_size=1 + seed // 3 % 3)
        plan = {"samples": list(world.samples), "arms": [{"method": "baseline", "config_hash": h} for h in HASHES]}
        RunDirectory(folder).write(plan)
        for _ in range(60):
            world.begin()
            with suppress(FreqqError):
                if attempt(world):
                    break
        else:
            raise AssertionError(f"schedule {seed} never ends")
        merge(folder)
        rows = RunDirectory(folder).read()
        assert (folder / RESULTS).is_file()
        assert [row.key for row in rows] == [(id, h) for id in world.samples for h in HASHES]
        given_up = {row.key for row in rows if row.error and "workers died" in row.error}
        assert given_up == world.poisonous, seed
        sick = {(id, h) for id in world.sick for h in HASHES}
        assert {row.key for row in rows if row.error} == world.poisonous | sick, seed


@pytest.mark.parametrize("gpus", [1, 2])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("passes", [0, 1, 9])
def test_what_broken_devices_leave_is_for_others(tmp_path, gpus, batch_size, passes):
    """Each GPU fails for good after some passes of the first start, and in all of those that follow."""
    world = World(0, folder_of(tmp_path / "run"), gpus, batch_size)
    world.poisonous, world.sick, world.left = set(), set(), 0
    passed: Counter[str] = Counter()

    def fails(gpu, at):
        passed[gpu] += 1
        if passed[gpu] > passes:
            world.broken[gpu] = MOST_STRIKES
        return gpu in world.broken

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "fails", fails)
        for _ in range(5):
            with pytest.raises(BrokenDevice, match="no worker is left; what was finished is stored"):
                attempt(world)
    world.broken = {}
    assert answered(world.run) == answered(world.run, retry_failed=True)
    assert attempt(world)
    assert len(answered(world.run, retry_failed=True)) == SAMPLES * len(HASHES)


@pytest.mark.parametrize("seed", range(8))
def test_what_a_healthy_worker_died_with_is_not_for_a_broken_one(tmp_path, seed):
    """The first GPU breaks in each batch, the second once, the third never."""
    chance = random.Random(seed)

    class Scripted:
        def __init__(self) -> None:
            self.live: list[Simulated] = []
            self.started: list[tuple[str, Assignment]] = []

        def start(self, assignment: Assignment) -> Simulated:
            self.started.append((assignment.replica.placement.device, assignment))
            self.live.append(Simulated(assignment, len(self.started)))
            return self.live[-1]

        def wait(self, seconds: float):
            process = self.live.pop(chance.randrange(len(self.live)))
            samples, gpu = process.assignment.samples, process.assignment.replica.placement.device
            if gpu == "cuda:0" or (gpu == "cuda:1" and [on for on, _ in self.started].count(gpu) == 1):
                return [(process, [{"ready": True}, {"at": samples[:2]}], BrokenDevice.exit_code)]
            return [
                (process, [{"ready": True}, {"rows": 2 * len(samples), "held": 0, "answered": True}, {"done": True}], 0)
            ]

    replicas = [
        Replica(tmp_path, Settings(), None, Placement("float32", f"cuda:{i}"), Shard(), Machine()) for i in range(3)
    ]
    shares = [Assignment(replicas[0], tuple(f"s-{3 * i + n}" for i in range(4))) for n in range(3)]
    processes = Scripted()
    supervisor = Supervisor(
        replicas,
        shares,
        processes,
        lambda *_: pytest.fail("given up"),
        lambda rows: None,
        lambda text: None,
        Suspects(),
    )
    assert supervisor.run(StopRequest())
    suspects = [(gpu, assignment.samples) for gpu, assignment in processes.started if assignment.suspects]
    assert {"s-1", "s-4"} <= {id for _, samples in suspects for id in samples}
    assert "cuda:0" not in {gpu for gpu, _ in suspects}


def test_a_process_that_crashes_when_all_is_stored_is_not_started_again(tmp_path):
    class Crashing:
        def __init__(self) -> None:
            self.live: list[Simulated] = []
            self.started = 0

        def start(self, assignment: Assignment) -> Simulated:
            self.started += 1
            self.live.append(Simulated(assignment, self.started))
            return self.live[-1]

        def wait(self, seconds: float):
            return [(self.live.pop(), [{"ready": True}, {"rows": 2, "held": 0}, {"done": True}], -signal.SIGSEGV)]

    replica = Replica(tmp_path, Settings(), None, Placement("float32", "cuda:0"), Shard(), Machine())
    processes = Crashing()
    supervisor = Supervisor(
        [replica], [Assignment(replica, ("a",))], processes, lambda *_: 0, lambda rows: None, pytest.fail,
        Suspects.read(tmp_path, Shard()),
    )  # fmt: skip
    assert supervisor.run(StopRequest())
    assert processes.started == 1
