"""Start a process for each replica of the model, watch them, and start one again that dies.

Each process is assigned a share of the samples (`freqq.runs.shard_process`). The samples that it was reading when it
died are read later, one by one and, if there is a choice, by another replica; the one that kills two processes at one
arm that had only this sample, and had answered something before, is given up by this arm: its row says so. A death on a
device that never answered says nothing of a sample. A replica whose processes die again and again is not used any more.
"""

import signal
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from freqq.errors import BrokenDevice, FreqqError, Interrupted, UserError
from freqq.runs.batches import Remaining, counter
from freqq.runs.environment import adding_script
from freqq.runs.shard_process import Assignment, Replica, Subprocesses
from freqq.runs.stop import StopRequest
from freqq.runs.suspects import FailedRows, Suspects, why_given_up

PATIENCE_S = 0.2
"""How soon a signal is noticed while all processes are busy."""

GRACE_S = 15.0
"""How long processes may take to end after a stop was requested; they do so by themselves, between two tokens or in the
midst of a long prompt (`freqq.runs.stop`), unless they hang. Then they are killed."""

MOST_STRIKES, LOADING_STRIKES = 6, 3
"""A replica is retired after so many deaths of its processes without an answer between them. A death while the model
loads counts for several: the next process would most likely die there, too."""

ALL_DIED = (
    "all workers died; what was finished is stored. Run the same command again, with a smaller --batch-size or fewer "
    "workers if memory was short"
)

NONE_LEFT = "no worker is left; what was finished is stored. Run the same command again, or use another device"


class Process(Protocol):
    """A process as the supervisor sees it."""

    pid: int

    def terminate(self) -> None:
        """Request a stop."""

    def kill(self) -> None:
        """End it at once."""

    def wait(self) -> int:
        """Wait for its end; its exit code."""


class Processes(Protocol):
    """Starts processes, and passes on what they report and how they end."""

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
    arms: tuple[str, ...] = ()
    ready: bool = False
    answered: bool = False
    done: bool = False
    held: int = 0
    strikes: int = 0
    broken: str | None = None

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
        The samples to begin with; which replica gets which does not matter. One may be empty.
    processes : Processes
    give_up : callable
        Writes the row of a sample that an arm is not to read again, for a reason, and returns how many were written.
    progress : callable
        Told how many rows there are more, or less if some were lost.
    note : callable
        Told when a process dies.
    suspects : Suspects
        What former processes died of; they are read when all shares are done.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        shares: Sequence[Assignment],
        processes: Processes,
        give_up: Callable[[str, str, str], int],
        progress: Callable[[int], None],
        note: Callable[[str], None],
        suspects: Suspects,
    ) -> None:
        self.workers = [Worker(f"worker {i}", replica) for i, replica in enumerate(replicas)]
        self._processes, self._give_up, self._progress, self._note = processes, give_up, progress, note
        self._template, self._waiting = shares[0], deque(share for share in shares if share.samples)
        self.suspects = suspects
        self._untried = dict.fromkeys(suspects.deaths)
        self._died_with: defaultdict[str, list[Worker]] = defaultdict(list)  # of each suspect, in order
        self._error: FreqqError | None = None

    def run(self, stop: StopRequest) -> bool:
        """Do all of it, or a part if a stop is requested. Returns whether all was done.

        Raises
        ------
        FreqqError
            If all workers died, or what one of them met that no sample is to blame for.
        """
        stop.grace_s = None  # processes get the time to store what they have
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
        done = not (self._waiting or self._untried)
        if not (done or stop.requested):
            broken = next((worker.broken for worker in self.workers if worker.broken), None)
            raise FreqqError(ALL_DIED) if broken is None else BrokenDevice(f"{broken}; {NONE_LEFT}")
        return done

    @property
    def _busy(self) -> dict[Worker, Process]:
        return {worker: worker.process for worker in self.workers if worker.process is not None}

    def _assign(self) -> None:
        for worker in self.workers:
            if worker.process is None and not worker.retired and (assignment := self._next(worker)):
                worker.assignment = replace(assignment, replica=worker.replica)
                worker.process = self._processes.start(worker.assignment)
                worker.ready = worker.answered = worker.done = False
                worker.at, worker.arms, worker.held = (), (), 0

    def _next(self, worker: Worker) -> Assignment | None:
        if self._waiting:
            return self._waiting.popleft()
        if not (ids := [id for id in self._untried if self._is_to_try(worker, id)]):
            return None
        for id in ids:
            del self._untried[id]
        return replace(self._template, samples=tuple(ids), suspects={id: self.suspects.deaths[id] for id in ids})

    def _is_to_try(self, worker: Worker, id: str) -> bool:
        """Whether a suspect is for this worker: if there is a choice, for none that died with it, and for one that died
        least of late, as what dies with a broken device says nothing of the sample."""
        there, before = [other for other in self.workers if not other.retired], self._died_with[id]
        able = [w for w in there if w not in before] or [w for w in there if w is not before[-1]] or there
        return worker in able and worker.strikes == min(w.strikes for w in able)

    def _listen(self, ending: bool = False) -> None:
        by_process = {process: worker for worker, process in self._busy.items()}
        for process, reports, code in self._processes.wait(PATIENCE_S):
            for report in reports:
                self._hear(by_process[process], report)
            if code is not None:
                self._ended(by_process[process], code, ending)

    def _hear(self, worker: Worker, report: dict[str, Any]) -> None:
        worker.ready = worker.ready or "ready" in report
        worker.answered = report.get("answered", worker.answered)
        worker.done = worker.done or "done" in report
        worker.at = tuple(report.get("at", worker.at))
        worker.arms = tuple(report.get("arms", worker.arms))
        worker.held = report.get("held", worker.held)
        worker.broken = report.get("broken", worker.broken)
        if report.get("answered"):
            worker.strikes, worker.broken = 0, None
        if "rows" in report:
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
        if code == 0 or worker.done:  # some libraries crash while a process ends, when all of its rows are stored
            for id in assignment.suspects:
                self.suspects.deaths.pop(id, None)
            return
        self._progress(-worker.held)
        if ending or self._error or code == Interrupted.exit_code:  # a signal may reach a process before this one
            self._waiting.append(assignment)
            return
        worker.strikes += 1 if worker.ready else LOADING_STRIKES
        how = worker.broken or _how(code)
        if given_up := self.suspects.accuse(worker.at, worker.arms, worker.answered):
            self._progress(self._give_up(*given_up, why_given_up(how)))
        rest = [id for id in assignment.samples if id not in worker.at]
        if assignment.suspects:
            self._untried |= dict.fromkeys(rest)
        elif rest:
            self._waiting.append(replace(assignment, samples=tuple(rest)))
        for id in worker.at:
            self._died_with[id].append(worker)
        self._untried |= dict.fromkeys(id for id in worker.at if id in self.suspects.deaths)
        then = f"given up: {' by '.join(given_up)}" if given_up else "they are tried again later, one by one"
        if worker.retired:
            then += "; the worker is not started again"
        who = f"{worker.name} (process {process.pid})"
        self._note(f"{who} died with {how} and {len(worker.at)} samples in progress: {then}")

    def _end(self) -> None:
        """Let processes stop and write their rows; one that still loads its model has none."""
        for worker, process in self._busy.items():
            (process.terminate if worker.ready else process.kill)()
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
    remaining: Remaining,
    failed_before: float,
    progress: Callable[[int, int], None],
    note: Callable[[str], None],
    stop: StopRequest,
    lock: int,
    suspects: Suspects,
    failed_rows: FailedRows,
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
    ids = tuple(id for id in by_id if id not in suspects.deaths)
    shares = [
        Assignment(first, ids[i :: len(replicas)], failed_before=failed_before, script=adding_script())
        for i in range(len(replicas))
    ]

    def give_up(id: str, arm: str, reason: str) -> int:
        return failed_rows.write(by_id[id], arm, reason)

    add = counter(remaining, progress)
    return Supervisor(replicas, shares, Subprocesses([lock]), give_up, add, note, suspects).run(stop)
