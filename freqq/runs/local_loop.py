"""A run whose answers come from a model in this process: while it answers a batch, the pages of the next are made, and
the sizes of what it read before are counted. Rows are stored in the order of their batches and arms, each when it is
whole.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from freqq.data.sample import Sample
from freqq.errors import Interrupted
from freqq.glm.device_errors import classified, is_broken_device
from freqq.runs.batches import Batch, Remaining, Todo
from freqq.runs.evaluate import Answered
from freqq.runs.parts import PartWriter
from freqq.runs.schema import Row
from freqq.runs.stop import StopRequest
from freqq.runs.views import Prepared

Report = Callable[[dict[str, Any]], None]
"""Takes what happened: ``ready`` once the model is there, the ids of the samples ``at`` work, the labels of the
``arms`` that a suspect lacks, the first at work, how many ``rows`` were added and how many are ``held`` and not on the
disk, whether anything was ``answered``, ``done`` when all are, why the device is ``broken``, or an ``error`` that no
sample is to blame for, with the ``exit_code`` of its kind."""


class Evaluator(Protocol):
    """What answers batches: `freqq.runs.evaluate.BatchEvaluator`."""

    def prepare(self, samples: Sequence[Sample], todo: Todo) -> Prepared:
        """Begin to make the pages of a batch."""

    def answer(self, batch: Prepared) -> Iterator[Answered]:
        """What each arm in turn answers."""


def evaluate_remaining(
    evaluator: Evaluator,
    writer: PartWriter,
    remaining: Remaining,
    batch_size: int,
    stop: StopRequest,
    report: Report,
    control: Batch | None = None,
) -> bool:
    """Answer what remains and write it, until it is done or a stop is requested. Returns whether all was done.

    Before a suspect is read by a process that answered nothing yet, `control` is, which was answered before: if that
    fails, the device is to blame, and no sample. What an arm answers to a suspect is written at once, so that a death
    at the next one loses nothing of it.

    Raises
    ------
    BrokenDevice
        If the accelerator fails. What was answered before is written.
    FreqqError
        If the disk is full.
    """
    lacking, unstored = remaining.missing, _Unstored(writer, report)
    ahead: Prepared | None = None

    try:
        while (ahead is not None or remaining) and not stop.requested:
            if ahead is None:
                unstored.store(wait=True)  # a suspect is the only one at work
                if control is not None and not (remaining.is_usual or unstored.answered):
                    checked = evaluator.prepare(control.samples, control.todo)
                    unstored.note([row for answered in evaluator.answer(checked) for row in answered.rows()])
                    control = None
            is_suspect = ahead is None and not remaining.is_usual
            batch = ahead or remaining.take(batch_size)
            following = remaining.take(batch_size) if remaining.is_usual else None
            unstored.begin(
                batch, following, is_suspect
            )  # before either is touched, which may be the end of this process
            current = batch if isinstance(batch, Prepared) else evaluator.prepare(batch.samples, batch.todo)
            ahead = None if following is None else evaluator.prepare(following.samples, following.todo)
            for answered in evaluator.answer(current):
                unstored.add(answered)
                if is_suspect:
                    unstored.finish()
                if stop.requested:
                    break
            unstored.end_batch()
    except Interrupted:  # between two tokens; what was begun is not stored
        pass
    except Exception as error:
        if not is_broken_device(error):
            raise
        unstored.accuse()
        unstored.finish()
        raise classified(error) from error
    finally:
        if ahead is not None:
            ahead.cancel()
    unstored.finish()
    return unstored.stored == lacking


class _Unstored:
    """Batches of which not all rows are stored, in their order, the last one at work."""

    def __init__(self, writer: PartWriter, report: Report) -> None:
        self._writer, self._report = writer, report
        self._batches: deque[_Unfinished] = deque()
        self._ahead: list[str] = []
        self.stored = 0
        self.answered = False

    def note(self, rows: Sequence[Row]) -> None:
        """Take note of whether there is an answer among rows, which proves that the device works."""
        self.answered = self.answered or any(row.error is None for row in rows)
        self._report({"answered": self.answered})

    def begin(self, batch: Batch | Prepared, ahead: Batch | None, is_suspect: bool) -> None:
        """A batch is at work now, and the pages of another are being made."""
        self._batches.append(_Unfinished(_ids(batch), [arm.label for arm, _ in batch.todo] if is_suspect else []))
        self._ahead = [] if ahead is None else _ids(ahead)
        self._report({"at": self._at, "arms": self._arms})

    def add(self, answered: Answered) -> None:
        """Take what an arm answered, and store what is whole."""
        self._batches[-1].answered.append(answered)
        self.store()

    def end_batch(self) -> None:
        """Nothing more is answered of the last batch."""
        self._batches[-1].is_over = True
        self.store()

    def store(self, wait: bool = False) -> None:
        """Store rows up to the first that is not whole, or wait until all are."""
        while self._batches:
            batch = self._batches[0]
            while batch.answered and (wait or batch.answered[0].done):
                rows = batch.answered.popleft().rows()
                self._writer.add(rows)
                self.stored += len(rows)
                self.note(rows)
                del batch.arms[:1]
                self._report({"rows": len(rows), "held": self._writer.held, "arms": self._arms})
            if batch.answered or not batch.is_over:
                return
            self._batches.popleft()
            self._writer.end_batch()
            self._report({"at": self._at, "arms": self._arms, "held": self._writer.held})

    def accuse(self) -> None:
        """Only the batch at work can be to blame."""
        self._report({"at": self._batches[-1].ids if self._batches else [], "arms": self._arms})

    def finish(self) -> None:
        """Wait until all rows are whole, and write them."""
        try:
            self.store(wait=True)
        finally:
            self._writer.flush()
            self._report({"held": 0})

    @property
    def _at(self) -> list[str]:
        return [id for batch in self._batches for id in batch.ids] + self._ahead

    @property
    def _arms(self) -> list[str]:
        return list(self._batches[-1].arms) if self._batches else []


@dataclass
class _Unfinished:
    """A batch: its samples, the arms that a suspect lacks, what was answered and is not stored, and whether more will
    come."""

    ids: list[str]
    arms: list[str]
    answered: deque[Answered] = field(default_factory=deque)
    is_over: bool = False


def _ids(batch: Batch | Prepared) -> list[str]:
    return [sample.id for sample in batch.samples]
