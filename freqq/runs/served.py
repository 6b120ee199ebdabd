"""The arms of a run by way of a server: which methods can go through one, what they ask, and rows of the replies."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from freqq.data.sample import Sample
from freqq.errors import UserError
from freqq.glm.load import Weights, find, load
from freqq.glm.place import Placement
from freqq.glm.reader import Reader
from freqq.glm.spec import read_spec
from freqq.runs.background import Background
from freqq.runs.batches import Todo
from freqq.runs.evaluate import BatchEvaluator
from freqq.runs.failures import Outcome, stage
from freqq.runs.grading import marked
from freqq.runs.machine import HERE, Machine
from freqq.runs.plan import Arm, Identity
from freqq.runs.schema import Row
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from freqq.runs.views import Rendered, View
from freqq.serve.chat import UNCOMPRESSED, chat_request
from freqq.serve.client import Client
from freqq.serve.engine import Engine, free_port, running
from freqq.serve.plugin import START, check_methods, why_not
from freqq.serve.reply import Reply, Served
from freqq.tokens.base import Combination, Cutter, TokenCompressor
from freqq.tokens.grid import CompressedGrid
from freqq.vllm.positions import MOST

UNKNOWN = "unknown"

ENGINE_CONCURRENCY = 32
"""Requests under way at an engine of the run's own, unless --concurrency says otherwise. It reads and answers together
as many as it has memory for."""


@dataclass(frozen=True)
class Service:
    """A server that was reached.

    Parameters
    ----------
    tower : where the vision tower beside it is, if a method needs one here
    compresses : bool
        Whether the server compresses tokens itself, by `freqq.vllm`.
    known : Identity or None
        What is known of its model, if it was started here.
    """

    client: Client
    served: Served
    tower: tuple[Weights, Placement] | None
    compresses: bool = False
    known: Identity | None = None

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
        client = Client(machine.endpoint)
        served = client.served(settings.served_model)
        methods = {f"{a.name} ({a.level})": a.method for a in arms if isinstance(a.method, TokenCompressor)}
        # Also without a token method: a server that compresses may have a default, which has to be turned off.
        reason = why_not(client, served.name)
        if reason is None:
            check_methods(client, served.name, methods)
            return cls(client, served, None, compresses=True)
        if not methods:
            return cls(client, served, None)
        for arm in arms:
            if isinstance(arm.method, TokenCompressor):
                check_method(arm.name, arm.method, reason)
        return cls(client, served, (find(settings.model, settings.revision), machine.placements(settings)[0]))

    @property
    def identity(self) -> Identity:
        """What is known of the model that answers."""
        if self.known is not None:
            return self.known
        tower = None if self.tower is None else f"{self.tower[0].revision} {self.tower[1].dtype}"
        return Identity(self.served.revision or UNKNOWN, UNKNOWN, served=self.served.name, tower=tower)


def engine_log(shard: Shard) -> str:
    """The file in a run's directory that takes what its engine, or that of its shard, prints."""
    return "vllm.log" if shard.count == 1 else f"vllm-{shard.index}.log"


def engine_for(weights: Weights, placement: Placement, machine: Machine) -> Engine:
    """vLLM with a model, on a port that is free; with a shorter context if the plug-in has no positions for all of it.

    Raises
    ------
    UserError
        If vLLM is not installed here, or in another release.
    """
    # On a CPU a compiled graph gains little and takes minutes; and memory is not measured but set.
    options: tuple[str, ...] = ("--enforce-eager",) if placement.device == "cpu" else ()
    spec = read_spec(weights)
    compresses = spec.family.engine is not None
    if compresses and spec.context > MOST:
        options += ("--max-model-len", str(MOST))
    engine = Engine(
        weights.folder, weights.name, placement.dtype, port=free_port(), tensor_parallel=machine.tensor_parallel,
        data_parallel=machine.data_parallel, options=options, compresses=compresses,
    )  # fmt: skip
    engine.command()
    return engine


@contextmanager
def started(
    engine: Engine, identity: Identity, log: Path, stop_requested: Callable[[], bool], limits: Mapping[str, Any]
) -> Iterator[Service]:
    """An engine of this run's own, until the block ends; `limits` as in `Machine`.

    Raises
    ------
    FreqqError
        If it does not come up.
    Interrupted
        If a stop is requested before it does.
    """
    with running(engine, log, stop_requested=stop_requested):
        client = Client(engine.endpoint(**{"concurrency": ENGINE_CONCURRENCY, **limits}))
        yield Service(client, Served(engine.name, identity.model_revision), None, engine.compresses, identity)


def check_method(name: str, method: TokenCompressor, reason: str) -> None:
    """Refuse a method whose tokens a server without `freqq.vllm` does not take, and say why this one is without.

    It takes the tokens of a whole page, or of a smaller page. It derives positions itself, so tokens that are scattered
    over a page, or spread over it, would be read elsewhere than they belong.

    Raises
    ------
    UserError
        If the method leaves such tokens.
    """
    cutter = method.CUTTER if isinstance(method, Combination) else type(method)
    if issubclass(cutter, Cutter) and getattr(method, "positions", None) != "compact":
        way = ", --set positions=compact" if hasattr(method, "positions") else ""
        raise UserError(f"{name} leaves tokens whose places this server does not take ({reason}): {START}{way}")


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

    The baseline and the image methods send pages, whose tokens the server makes. Token methods send pages, too, to a
    server that compresses, and else the tokens that the vision tower here makes.
    """

    def __init__(self, service: Service, settings: Settings, shard: Shard) -> None:
        tower: Reader | None = None if service.tower is None else load(*service.tower)
        self.client = service.client
        self.compresses = service.compresses
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
        self._hashes = {}
        self.rendering = settings.rendering
        self.store = None
        self.background = Background(HERE.threads_beside)

    def questions(self, samples: Sequence[Sample], todo: Todo) -> Iterator[Question]:
        """Those of each sample in turn."""
        for sample in samples:
            rendered = self._rendered(self.prepare([sample], todo))
            plain = stage(self._start, rendered)
            for arm, ids in todo:
                if sample.id in ids:
                    started = datetime.now(UTC)
                    yield Question(arm, sample, started, rendered[0], self._views(arm, rendered, plain)[0])

    def reply(self, question: Question) -> Reply:
        """Ask the server; for several threads at once.

        Raises
        ------
        freqq.serve.reply.Refused
            If the server does not answer this one.
        Interrupted
            If it answers none.
        """
        view = question.view
        assert isinstance(view, View)
        tokens = [grid for grid in view.grids if isinstance(grid, CompressedGrid)]
        method = question.arm.method if isinstance(question.arm.method, TokenCompressor) else UNCOMPRESSED
        request = chat_request(
            self.model_name,
            self.settings.rules.ask(question.sample.question),
            tokens or view.rendered.pages,
            self.settings.new_tokens,
            self.settings.rules.generation,
            method if self.compresses else None,
        )
        return self.client.complete(request)

    def row(self, question: Question, outcome: Outcome[Reply]) -> Row:
        """The row of an answer, or of a failure."""
        row = self._row(question.arm, question.sample, [question.rendered, question.view, outcome], question.started)
        if row.error is None and isinstance(question.view, View):
            sent = [grid for grid in question.view.grids if isinstance(grid, CompressedGrid)]
            row = replace(row, vision_tokens=sum(len(grid.features) for grid in sent) if sent else None)
        return row

    def _views(
        self, arm: Arm, rendered: list[Outcome[Rendered]], plain: list[Outcome[View]]
    ) -> Sequence[Outcome[View]]:
        return (
            plain
            if self.compresses and isinstance(arm.method, TokenCompressor)
            else super()._views(arm, rendered, plain)
        )

    def _start(self, batch: list[Rendered]) -> list[View]:
        return self._see(batch) if self.tower is None else super()._see(batch)

    def _see(self, batch: list[Rendered]) -> list[View]:
        """Nothing is seen here: pages are sent as they are."""
        return [View(rendered, (), {}) for rendered in batch]

    def _graded(self, row: Row, sample: Sample, answer: Any) -> Row:
        row = marked(row, sample, answer.text, self.settings.rules, answer.truncated)
        return replace(row, prompt_tokens=answer.prompt_tokens, new_tokens=answer.new_tokens)
