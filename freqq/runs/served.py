"""A run whose answers come from a server: all work on pages and tokens is done here, in one thread, and answers wait
in others. So many requests are under way at once, and a row is written when its answer is there, whatever the order.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any

from freqq.data.sample import Sample
from freqq.errors import Interrupted, UserError
from freqq.glm.decoding import GENERATIONS
from freqq.glm.load import Weights, find, load
from freqq.glm.place import Placement
from freqq.glm.reader import Reader
from freqq.runs.evaluate import BatchEvaluator, Rendered, View, render_sample
from freqq.runs.grading import marked
from freqq.runs.machine import Machine
from freqq.runs.methods import Method
from freqq.runs.parts import PartWriter
from freqq.runs.plan import Arm, Identity, Shard
from freqq.runs.schema import Row
from freqq.runs.settings import Settings
from freqq.runs.stage import Outcome, stage
from freqq.runs.stop import StopRequest
from freqq.runs.work import Todo, Work
from freqq.serve.chat import chat_request
from freqq.serve.client import Client, Reply, Served
from freqq.tokens.base import Cutter, TokenCompressor
from freqq.tokens.combine import Combination
from freqq.tokens.grid import CompressedGrid

PATIENCE_S = 0.2
"""How soon a signal is noticed while all requests are waiting."""

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Service:
    """A server that was reached, and where the vision tower beside it is, if a method needs one."""

    client: Client
    served: Served
    tower: tuple[Weights, Placement] | None

    @classmethod
    def reach(cls, settings: Settings, machine: Machine, arms: Sequence[Arm]) -> "Service":
        """Ask a server for its model.

        Raises
        ------
        UserError
            If no server is given, a method cannot go through one, or it has no such model.
        FreqqError
            If it does not answer.
        """
        if machine.endpoint is None:
            raise UserError(f"--backend {settings.backend} needs --base-url, such as http://127.0.0.1:8000/v1")
        for arm in arms:
            check_method(arm.name, arm.method)
        needs_tower = any(isinstance(arm.method, TokenCompressor) for arm in arms)
        tower = None
        if needs_tower:
            tower = find(settings.model, settings.revision), machine.placements(settings.dtype)[0]
        client = Client(machine.endpoint)
        return cls(client, client.served(settings.served_model), tower)

    @property
    def identity(self) -> Identity:
        """What is known of the model that answers."""
        tower = None if self.tower is None else f"{self.tower[0].revision} {self.tower[1].dtype}"
        return Identity(self.served.revision or UNKNOWN, UNKNOWN, self.served.name, tower)


def check_method(name: str, method: Method | None) -> None:
    """Refuse a method whose tokens have no form in a request.

    A server takes the tokens of a whole page, or of a smaller page. It derives positions itself, so tokens that are
    scattered over a page, or spread over it, would be read elsewhere than they belong.

    Raises
    ------
    UserError
        If the method leaves such tokens.
    """
    cutter = method.CUTTER if isinstance(method, Combination) else type(method)
    if issubclass(cutter, Cutter) and getattr(method, "positions", None) != "compact":
        way = ", or --set positions=compact" if hasattr(method, "positions") else ""
        raise UserError(
            f"{name} leaves tokens that are not a page of their own, which no server takes: use --backend local{way}"
        )


@dataclass(frozen=True)
class Question:
    """What one arm asks of one sample."""

    arm: Arm
    sample: Sample
    started: datetime
    rendered: Outcome[Rendered]
    view: Outcome[View]


class ServedEvaluator(BatchEvaluator):
    """Makes requests of samples and rows of replies.

    The plain arm and the image methods send pages, whose tokens the server makes; token methods send the tokens that
    the vision tower here makes.
    """

    def __init__(self, service: Service, settings: Settings, shard: Shard) -> None:
        tower: Reader | None = None if service.tower is None else load(*service.tower)
        self.client = service.client
        self.tower = tower
        if tower is not None:
            self.reader = tower
        self.model_name = service.served.name
        self.device = "server" if tower is None else tower.device
        self.identity = service.identity
        self.max_tokens = None
        self.settings = settings
        self.shard = shard
        self.data = settings.source
        self.rendering = settings.rendering
        self.store = None

    def questions(self, samples: Sequence[Sample], todo: Todo) -> Iterator[Question]:
        """Those of each sample in turn."""
        for sample in samples:
            rendered = stage(lambda batch: [render_sample(s, self.rendering) for s in batch], [sample])
            plain = stage(self._start, rendered)
            for arm, ids in todo:
                if sample.id in ids:
                    started = datetime.now(UTC)
                    yield Question(arm, sample, started, rendered[0], self._views(arm, rendered, plain)[0])

    def reply(self, question: Question) -> Reply:
        """Ask the server; for several threads at once.

        Raises
        ------
        freqq.serve.client.Refused
            If the server does not answer this one.
        Interrupted
            If it answers none.
        """
        view = question.view
        assert isinstance(view, View)
        tokens = [grid for grid in view.grids if isinstance(grid, CompressedGrid)]
        request = chat_request(
            self.model_name,
            question.sample.question,
            tokens or view.rendered.pages,
            self.settings.new_tokens,
            GENERATIONS[self.settings.generation],
        )
        return self.client.complete(request)

    def row(self, question: Question, outcome: Outcome[Reply]) -> Row:
        """The row of an answer, or of a failure."""
        row = self._row(question.arm, question.sample, [question.rendered, question.view, outcome], question.started)
        if row.error is None and isinstance(question.view, View):
            sent = [grid for grid in question.view.grids if isinstance(grid, CompressedGrid)]
            row = replace(row, vision_tokens=sum(len(grid.features) for grid in sent) if sent else None)
        return row

    def _start(self, batch: list[Rendered]) -> list[View]:
        return self._see(batch) if self.tower is None else super()._see(batch)

    def _see(self, batch: list[Rendered]) -> list[View]:
        """Nothing is seen here: pages are sent as they are."""
        return [View(rendered, (), {}) for rendered in batch]

    def _graded(self, row: Row, sample: Sample, answer: Any) -> Row:
        return replace(
            marked(row, sample, answer.text), prompt_tokens=answer.prompt_tokens, new_tokens=answer.new_tokens
        )


def evaluate_served(
    evaluator: ServedEvaluator,
    writer: PartWriter,
    work: Work,
    progress: Callable[[int], None],
    stop: StopRequest,
) -> tuple[int, str]:
    """Answer what is waiting, until it is done, a stop is requested, or the server goes away.

    Returns how many rows there are, and why it ended before all were; empty if for a stop.
    """
    finished, reason, under_way = work.total - work.missing, "", 0
    threads = _Threads(evaluator.reply, evaluator.client.endpoint.concurrency)
    waiting = _questions(evaluator, work)
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


def _questions(evaluator: ServedEvaluator, work: Work) -> Iterator[Question]:
    while work:
        batch = work.take(1)
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
