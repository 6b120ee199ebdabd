"""A run whose answers come from a server: all work on pages and tokens is done here, in one thread, and answers are
waited for in others. So many requests are under way at once, and a row is written when its answer is there, whatever
the order.
"""

import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

from freqq.errors import Interrupted
from freqq.runs.batches import Remaining
from freqq.runs.failures import Outcome
from freqq.runs.parts import PartWriter
from freqq.runs.served import Question, ServedEvaluator
from freqq.runs.stop import StopRequest
from freqq.serve.reply import Reply

PATIENCE_S = 0.2
"""How soon a signal is noticed while all requests are waiting."""


def evaluate_served(
    evaluator: ServedEvaluator,
    writer: PartWriter,
    remaining: Remaining,
    progress: Callable[[int], None],
    stop: StopRequest,
) -> tuple[int, str]:
    """Answer what is waiting, until it is done, a stop is requested, or the server goes away.

    Returns how many rows there are, and why it ended before all were; empty if for a stop.
    """
    finished, reason, under_way = remaining.total - remaining.missing, "", 0
    threads = _Threads(evaluator.reply, evaluator.client.endpoint.concurrency)
    waiting = _questions(evaluator, remaining)
    exhausted = False
    try:
        while True:
            halting = stop.requested or bool(reason)
            while not (halting or exhausted) and under_way < threads.count:
                question = next(waiting, None)
                exhausted = question is None
                if question is not None:
                    under_way += 1
                    threads.ask(question)
                halting = stop.requested
            if halting:
                evaluator.client.stop.set()
            if not under_way and (halting or exhausted):
                break
            outcome = threads.answered()
            if outcome is None:
                writer.add([])  # which writes what was held for long enough
                continue
            under_way -= 1
            question, answer = outcome
            if isinstance(answer, Interrupted):
                reason = reason or str(answer)
                continue
            writer.add([evaluator.row(question, answer)])
            writer.end_batch()
            finished += 1
            progress(finished)
    finally:
        threads.end()
        writer.flush()
    return finished, "" if stop.requested else reason


def _questions(evaluator: ServedEvaluator, remaining: Remaining) -> Iterator[Question]:
    while remaining:
        batch = remaining.take(1)
        yield from evaluator.questions(batch.samples, batch.todo)


class _Threads:
    """Threads that ask. They are daemons: a second Ctrl-C ends the program without waiting for them."""

    def __init__(self, ask: Callable[[Question], Reply], count: int) -> None:
        self.count = count
        self._ask = ask
        self._questions: SimpleQueue[Question | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[Question, Outcome[Reply]]] = SimpleQueue()
        for _ in range(count):
            threading.Thread(target=self._work, daemon=True).start()

    def ask(self, question: Question) -> None:
        """Give a question to whichever thread is free; one that failed before it could be asked comes back as it is."""
        if isinstance(question.view, Exception):
            self._answers.put((question, question.view))
        else:
            self._questions.put(question)

    def answered(self) -> tuple[Question, Outcome[Reply]] | None:
        """The next answer, in the order in which they come; None if there is none for a moment."""
        try:
            return self._answers.get(timeout=PATIENCE_S)
        except Empty:
            return None

    def end(self) -> None:
        """Let the threads end when they have nothing to do."""
        for _ in range(self.count):
            self._questions.put(None)

    def _work(self) -> None:
        while (question := self._questions.get()) is not None:
            try:
                outcome: Outcome[Reply] = self._ask(question)
            except Exception as error:
                outcome = error
            self._answers.put((question, outcome))
