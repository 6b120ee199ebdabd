"""Start a process for each replica of the model, watch them, and start one again that dies.

Each process is assigned a share of the samples (`freqq.runs.shard_process`). The samples that it had at hand when it
died are read later, one by one and, if there is a choice, by another replica; the one that kills two processes that had
only this sample is given up: its rows say so. A replica whose processes die again and again is not used any more.
"""

import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from freqq.errors import FreqqError, UserError
from freqq.image import CODECS
from freqq.runs.batches import Remaining, counter
from freqq.runs.environment import part_metadata
from freqq.runs.grading import blank_row, failed
from freqq.runs.parts import PartWriter, answered
from freqq.runs.plan import Identity
from freqq.runs.shard_process import Assignment, Replica, Subprocesses
from freqq.runs.stop import StopRequest
from freqq.tokens import COMPRESSORS

PATIENCE_S = 0.2
"""How soon a signal is noticed while all processes are busy."""

GRACE_S = 15.0
"""How long processes may take to finish what is at hand after a stop was requested. Then they are killed."""

MOST_DEATHS = 2
"""So many processes may die on a sample that they have for themselves. After that it is given up."""

MOST_STRIKES, LOADING_STRIKES = 6, 3
"""A replica is retired after so many deaths of its processes without a row between them. A death while the model loads
counts for several: the next process would most likely die there, too."""

ALL_DIED = (
    "all workers died; what was finished is stored. Run the same command again, with a smaller --batch-size or fewer "
    "workers if memory was short"
)


class Process(Protocol):
    """A process as the supervisor sees it."""

    pid: int

    def terminate(self) -> None:
        """Request a stop after what is at hand."""

    def kill(self) -> None:
        """End it at once."""

    def wait(self) -> int:
        """Wait for its end; its exit code."""


class Processes(Protocol):
    """Starts processes, and tells what they report and how they end."""

    def start(self, assignment: Assignment) -> Process:
        """A process that does an assignment."""

    def wait(self, seconds: float) -> Sequence[tuple[Process, list[dict[str, Any]], int | None]]:
        """What processes reported meanwhile, and the exit code of those that ended, negative for a signal."""


@dataclass(eq=False)
class Worker:
    """A replica, its process, and what is known of them."""

    name: str
    replica: Replica
    process: Process | None = None
    assignment: Assignment | None = None
    at: tuple[str, ...] = ()
    ready: bool = False
    held: int = 0
    strikes: int = 0

    @property
    def retired(self) -> bool:
        """Whether its processes died too often."""
        return self.strikes >= MOST_STRIKES


class Supervisor:
    """What is to be done, and who does it.

    Parameters
    ----------
    replicas : sequence of Replica
    shares : sequence of Assignment
        The samples to begin with, at least one; which replica gets which does not matter.
    processes : Processes
    give_up : callable
        Writes the rows of a sample that is not to be read again, for a reason, and returns how many they are.
    progress : callable
        Told how many rows there are more, or less if some were lost.
    note : callable
        Told when a process dies.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        shares: Sequence[Assignment],
        processes: Processes,
        give_up: Callable[[str, str], int],
        progress: Callable[[int], None],
        note: Callable[[str], None],
    ) -> None:
        self.workers = [Worker(f"worker {i}", replica) for i, replica in enumerate(replicas)]
        self._processes, self._give_up, self._progress, self._note = processes, give_up, progress, note
        self._template, self._waiting = shares[0], deque(shares)
        self._suspects: dict[str, Worker] = {}  # by their ids, with the worker that they were at hand of
        self._deaths: Counter[str] = Counter()
        self._error: FreqqError | None = None

    def run(self, stop: StopRequest) -> bool:
        """Do all of it, or, if a stop is requested, what is at hand. Returns whether all was done.

        Raises
        ------
        FreqqError
            If all workers died, or what one of them met that no sample is to blame for.
        """
        try:
            while not (stop.requested or self._error):
                self._assign()
                if not self._busy:
                    break
                self._listen()
            self._end()
        finally:
            for process in self._busy.values():
                process.kill()
                process.wait()
        if self._error is not None:
            raise self._error
        done = not (self._waiting or self._suspects)
        if not (done or stop.requested):
            raise FreqqError(ALL_DIED)
        return done

    @property
    def _busy(self) -> dict[Worker, Process]:
        return {worker: worker.process for worker in self.workers if worker.process is not None}

    def _assign(self) -> None:
        for worker in self.workers:
            if worker.process is None and not worker.retired and (assignment := self._next(worker)):
                worker.assignment = replace(assignment, replica=worker.replica)
                worker.process = self._processes.start(worker.assignment)
                worker.ready, worker.at, worker.held = False, (), 0

    def _next(self, worker: Worker) -> Assignment | None:
        if self._waiting:
            return self._waiting.popleft()
        others = any(other is not worker and not other.retired for other in self.workers)
        ids = [id for id, where in self._suspects.items() if where is not worker or not others]
        if not ids:
            return None
        for id in ids:
            del self._suspects[id]
        # Whichever of them it is that kills, all others are answered before it is tried again.
        return replace(self._template, samples=tuple(sorted(ids, key=self._deaths.__getitem__)), alone=True)

    def _listen(self, ending: bool = False) -> None:
        by_process = {process: worker for worker, process in self._busy.items()}
        for process, reports, code in self._processes.wait(PATIENCE_S):
            worker = by_process[process]
            for report in reports:
                self._hear(worker, report)
            if code is not None:
                self._ended(worker, code, ending)

    def _hear(self, worker: Worker, report: dict[str, Any]) -> None:
        worker.ready = worker.ready or "ready" in report
        worker.at = tuple(report.get("at", worker.at))
        worker.held = report.get("held", worker.held)
        if "rows" in report:
            worker.strikes = 0
            self._progress(report["rows"])
        if "error" in report:
            kind = UserError if report["exit_code"] == UserError.exit_code else FreqqError
            self._error = self._error or kind(report["error"])

    def _ended(self, worker: Worker, code: int, ending: bool) -> None:
        """Take note of a process's end, and take back what it did not do."""
        process, assignment = worker.process, worker.assignment
        assert process is not None
        assert assignment is not None
        worker.process = worker.assignment = None
        if code == 0:
            return
        self._progress(-worker.held)
        if ending or self._error:
            self._waiting.append(assignment)
            return
        worker.strikes += 1 if worker.ready else LOADING_STRIKES
        given_up = self._accuse(worker, code)
        rest = [id for id in assignment.samples if id not in worker.at]
        if assignment.alone:
            self._suspects |= dict.fromkeys(rest, worker)
        elif rest:
            self._waiting.append(replace(assignment, samples=tuple(rest)))
        then = f"given up: {', '.join(given_up)}" if given_up else "they are tried again later, one by one"
        if worker.retired:
            then += "; the worker is not started again"
        self._note(
            f"{worker.name} (process {process.pid}) died with {_how(code)} and {len(worker.at)} samples at hand: {then}"
        )

    def _accuse(self, worker: Worker, code: int) -> list[str]:
        """Make suspects of what a dead process had at hand; returns what is given up."""
        if len(worker.at) == 1:
            self._deaths[worker.at[0]] += 1
        given_up = [id for id in worker.at if self._deaths[id] >= MOST_DEATHS]
        for id in given_up:
            reason = (
                f"{self._deaths[id]} workers died while they had only this sample, the last with {_how(code)}: it may "
                "need more memory than there is"
            )
            self._progress(self._give_up(id, reason))
        self._suspects |= {id: worker for id in worker.at if id not in given_up}
        return given_up

    def _end(self) -> None:
        """Let processes finish what is at hand, and write; one that still loads its model has nothing to finish."""
        for worker, process in self._busy.items():
            if worker.ready:
                process.terminate()
            else:
                process.kill()
        deadline = time.monotonic() + GRACE_S
        while busy := self._busy:
            self._listen(ending=True)
            if time.monotonic() > deadline:
                for process in busy.values():
                    process.kill()


def _how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def evaluate_in_processes(
    replicas: Sequence[Replica],
    identity: Identity,
    remaining: Remaining,
    retry_failed: bool,
    progress: Callable[[int, int], None],
    note: Callable[[str], None],
    stop: StopRequest,
    lock: int,
) -> bool:
    """Answer what remains, each replica in a process of its own. Returns whether all was done.

    Parameters
    ----------
    lock : int
        The file descriptor of the run's lock, which processes hold as long as they live.

    Raises
    ------
    FreqqError
        As `Supervisor.run`.
    """
    first = replicas[0]
    by_id = {sample.id: sample for sample in remaining.samples}
    shares = [
        Assignment(first, ids, retry_failed=retry_failed, script=_methods_script())
        for ids in (tuple(by_id)[i :: len(replicas)] for i in range(len(replicas)))
        if ids
    ]

    def give_up(id: str, reason: str) -> int:
        lacking = Remaining([by_id[id]], remaining.arms, answered(first.run, retry_failed))
        device, now = first.placement.device, datetime.now(UTC)
        rows = [
            failed(
                blank_row(first.settings, identity, first.weights.name, device, first.shard, arm, by_id[id], now),
                FreqqError(reason),
            )
            for arm, _ in lacking.batch(lacking.samples).todo
        ]
        writer = PartWriter(first.run, first.shard, part_metadata(first.run, device))
        writer.add(rows)
        writer.flush()
        return len(rows)

    add = counter(remaining, progress)
    return Supervisor(replicas, shares, Subprocesses([lock]), give_up, add, note).run(stop)


def _methods_script() -> str | None:
    """The main program, if methods are defined in it."""
    found: str | None = getattr(sys.modules["__main__"], "__file__", None)
    loaded = (*CODECS.loaded.values(), *COMPRESSORS.loaded.values())
    return found if any(cls.__module__ == "__main__" for cls in loaded) else None
