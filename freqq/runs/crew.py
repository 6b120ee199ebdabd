"""The parent of workers: deals batches to whoever is free, and to the others what a dead worker leaves."""

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from freqq.errors import FreqqError
from freqq.runs.parts import Key
from freqq.runs.stop import StopRequest
from freqq.runs.work import Batch, Work
from freqq.runs.worker import END, FLUSH, Answered, Failed, Loaded, Replica, block_signals, work

PATIENCE_S = 0.2
"""How soon a signal is noticed while all workers are busy."""

MOST_DEATHS_IN_A_ROW = 6
"""If so many workers die and nothing is answered meanwhile, it is not for a sample or two, and the run ends."""


@dataclass
class Worker:
    """A process, the parent's end of its pipe, its replica, and what it was given."""

    name: str
    replica: Replica
    process: BaseProcess
    pipe: Connection
    batches: list[Batch] = field(default_factory=list)
    answered: int = 0
    idle: bool = False
    flushed: bool = False
    loaded: bool = False

    @property
    def at(self) -> Batch | None:
        """The batch that it is working on."""
        return self.batches[-1] if self.batches and not self.idle and not self.flushed else None

    @property
    def done(self) -> bool:
        """Whether nothing has to be waited for: its rows are on the disk, or it never had any."""
        return not self.loaded or (self.idle and self.flushed)

    def tell(self, what: Batch | str) -> None:
        """Send it something; that it is dead is noticed elsewhere."""
        self.idle = False
        self.flushed = what == FLUSH
        if isinstance(what, Batch):
            self.batches.append(what)
        with suppress(OSError):
            self.pipe.send(what)


class Crew:
    """Workers, one for each replica. If the last one dies at work, a new one takes its place.

    Parameters
    ----------
    replicas : sequence of Replica
    stored : callable
        Reads the keys that are on the disk.
    progress : callable
        Told how many rows there are.
    note : callable
        Told when a worker dies.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        stored: Callable[[], set[Key]],
        progress: Callable[[int], None],
        note: Callable[[str], None],
    ) -> None:
        self._replicas = replicas
        self._stored = stored
        self._progress = progress
        self._note = note
        self._workers: list[Worker] = []
        self._hired = 0
        self._died_in_a_row = 0
        self.finished = 0

    def run(self, work: Work, batch_size: int, stop: StopRequest) -> None:
        """Do all work, or, if a stop is requested, what is at hand.

        Raises
        ------
        FreqqError
            If all workers died, or what a worker met that no sample is to blame for.
        """
        self.finished = work.total - work.missing
        try:
            self._start(self._replicas)
            while self._workers and not stop.requested:
                if not work and all(w.done for w in self._workers):
                    break
                self._deal(work, batch_size)
                self._listen(work)
            all_died = not self._workers and not stop.requested
            self._end(work)
        finally:
            for worker in self._workers:
                worker.process.kill()
        if all_died and work:
            raise FreqqError(
                "all workers died; what was finished is stored. Run the same command again, "
                "with a smaller --batch-size or fewer workers if memory was short"
            )

    def _start(self, replicas: Sequence[Replica]) -> None:
        context = multiprocessing.get_context("spawn")
        before = block_signals()
        try:
            # It unblocks some signals after its first start, so that has to be over.
            resource_tracker.ensure_running()
            block_signals()
            for replica in replicas:
                ours, theirs = context.Pipe()
                process = context.Process(target=work, args=(theirs, replica), daemon=True)
                process.start()
                theirs.close()  # or its end would never be noticed here
                self._workers.append(Worker(f"worker {self._hired}", replica, process, ours))
                self._hired += 1
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _deal(self, work: Work, batch_size: int) -> None:
        for worker in self._workers:
            if worker.idle and work:
                worker.tell(work.take(batch_size, len(self._workers)))
            elif worker.idle and not worker.flushed:
                worker.tell(FLUSH)

    def _end(self, work: Work) -> None:
        """Let workers finish the arm at hand, and write; one that still loads its model has nothing to finish."""
        for worker in self._workers:
            if worker.batches:
                worker.tell(END)
            else:
                worker.process.kill()
        while self._workers:
            self._listen(work, ending=True)

    def _listen(self, work: Work, ending: bool = False) -> None:
        """Hear what workers have to say, for a moment."""
        by_pipe = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(by_pipe), PATIENCE_S):
            worker = by_pipe[pipe]  # type: ignore[index]
            try:
                said = worker.pipe.recv()
            except (EOFError, OSError):
                self._bury(worker, work, ending)
                continue
            if isinstance(said, Failed):
                raise said.error
            if isinstance(said, Answered):
                self._died_in_a_row = 0
                worker.answered += said.rows
                self.finished += said.rows
                self._progress(self.finished)
            else:
                worker.idle = True
                worker.loaded = True
                worker.flushed = worker.flushed or isinstance(said, Loaded)

    def _bury(self, worker: Worker, work: Work, ending: bool) -> None:
        self._workers.remove(worker)
        worker.process.join()
        worker.pipe.close()
        if ending and (worker.process.exitcode == 0 or not worker.batches):
            return
        # What it had answered may be on the disk or not; the disk knows.
        lost = work.put_back(worker.batches, self._stored(), worker.at)
        self.finished -= lost - (sum(b.rows for b in worker.batches) - worker.answered)
        self._progress(self.finished)
        code = worker.process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self._died_in_a_row += 1
        # While others are left they do without it: if memory was short, there is more for them now. One that died while
        # it loaded would do so again.
        alone = not self._workers and not ending
        replaced = alone and worker.loaded and bool(work) and self._died_in_a_row < MOST_DEATHS_IN_A_ROW
        then = "they are still to be done"
        if not ending and self._workers:
            then = "the others take them over"
        elif replaced:
            then = "a new worker takes them over"
        self._note(f"{worker.name} (process {worker.process.pid}) died with {how} and {lost} answers at hand: {then}")
        if replaced:
            self._start([worker.replica])
