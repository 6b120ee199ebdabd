"""One batch of samples through every arm of a run: pages are rendered and seen once, then each arm answers.

A stage takes the values of a batch and gives as many. If it fails on the batch, each value is tried alone, so that one
bad sample costs only its own rows; what failed travels on in place of a value and ends as a row's ``error``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from freqq.data.sample import Sample
from freqq.errors import FreqqError
from freqq.glm.adapter_card import digest
from freqq.glm.memory_saving import MemorySaving, fallbacks
from freqq.glm.reader import Answer, Reader
from freqq.image.base import ImageCodec
from freqq.runs import sizes
from freqq.runs.background import Background, Total
from freqq.runs.batches import Todo
from freqq.runs.failures import Outcome, padded_cuts, stage
from freqq.runs.grading import blank_row, failed, graded
from freqq.runs.machine import HERE, Machine
from freqq.runs.plan import Arm, Identity, config_hash
from freqq.runs.schema import Row
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from freqq.runs.views import (
    Prepared,
    Rendered,
    View,
    compressed,
    counted,
    recode,
    recoded,
    render_sample,
    totals,
    with_image_bytes,
)
from freqq.tokens.base import TokenCompressor

if TYPE_CHECKING:
    from freqq.glm.adapter import Adapter


@dataclass(frozen=True)
class Answered:
    """What an arm answered to some samples, of which not all sizes are counted yet."""

    making: Sequence[Callable[[], Row]]
    totals: Sequence[Total]

    @property
    def done(self) -> bool:
        """Whether `rows` does not wait."""
        return all(total.done for total in self.totals)

    def rows(self) -> list[Row]:
        """The rows, one a sample."""
        return [make() for make in self.making]


class BatchEvaluator:
    """Runs batches of samples through arms with one reader.

    Parameters
    ----------
    machine : Machine
        Batches are cut so that what is read together stays below its ``max_batch_tokens``, down to one sample. It also
        says what a sample is tried with that runs out of memory. Changes no answer.
    """

    def __init__(self, reader: Reader, settings: Settings, shard: Shard, machine: Machine = HERE) -> None:
        self.reader = reader
        self.max_tokens = machine.max_batch_tokens
        self.saving = MemorySaving(machine.prefill_chunk)
        self.fallbacks = fallbacks(machine.prefill_chunk, machine.offload)
        self.settings = settings
        self.model_name = reader.model_name
        self.device = reader.device
        self.identity = Identity(
            reader.revision, reader.dtype, reader.attention, together=machine.together(settings, reader.dtype)
        )
        self.shard = shard
        self.data = settings.source
        self._hashes: dict[tuple[str, str], str] = {}
        self.rendering = settings.rendering
        self.store = settings.store
        self.background = Background(machine.threads_beside)
        self.adapter = None if settings.adapter_folder is None else _attach(reader, settings.adapter_folder)

    def known_as(self, arm: Arm) -> str:
        """An arm's config hash, computed once: what a file holds by then may change meanwhile."""
        name = arm.name, arm.level
        if name not in self._hashes:
            self._hashes[name] = config_hash(self.settings, self.identity, arm, self.data)
        return self._hashes[name]

    def check_planned(self, planned: Sequence[tuple[Arm, str]]) -> None:
        """Refuse if arms are not known as they were planned.

        Raises
        ------
        FreqqError
            If the data, the model, the adapter or a method changed since.
        """
        if changed := [arm.name for arm, known_as in planned if self.known_as(arm) != known_as]:
            raise FreqqError(
                f"the data, the model or {changed[0]} changed since the run was planned: no more is answered. Restore "
                "what was changed, or choose another --out"
            )
        folder, adapters = self.settings.adapter_folder, {arm.adapter for arm, _ in planned} - {None}
        if folder is not None and adapters and adapters != {digest(folder)}:  # read anew: its weights are loaded by now
            way_out = "when nothing writes it, run the same command again, or choose another --out"
            raise FreqqError(f"the adapter in {folder} changed since the run was planned: {way_out}")

    def prepare(self, samples: Sequence[Sample], todo: Todo) -> Prepared:
        """Begin to make the pages of a batch, as image codecs leave them, too; `todo` says which arms read which."""
        codecs = [((a.name, a.level), a.method, ids) for a, ids in todo if isinstance(a.method, ImageCodec)]
        drawn = [
            self.background.draw(self._draw, sample, {arm: codec for arm, codec, ids in codecs if sample.id in ids})
            for sample in samples
        ]
        return Prepared(samples, todo, drawn)

    def _draw(self, sample: Sample, codecs: Mapping[tuple[str, str], ImageCodec]) -> Rendered:
        rendered, submit = render_sample(sample, self.rendering), self.background.submit
        pages = {arm: [submit(recode, codec, page) for page in rendered.pages] for arm, codec in codecs.items()}
        return replace(rendered, recoded=pages)

    def answer(self, batch: Prepared) -> Iterator[Answered]:
        """What each arm in turn answers, to those of the samples whose ids stand beside it in the batch."""
        rendered = self._rendered(batch)
        for cut in self._cuts(rendered):
            yield from self._answer_all(batch.samples[cut], rendered[cut], batch.todo)

    def rows(self, samples: Sequence[Sample], todo: Todo) -> Iterator[list[Row]]:
        """The rows of each arm in turn, for those of the samples whose ids stand beside it in `todo`."""
        return (answered.rows() for answered in self.answer(self.prepare(samples, todo)))

    def close(self) -> None:
        """End the work beside the model; what is not finished is not needed."""
        self.background.end()

    def _rendered(self, batch: Prepared) -> list[Outcome[Rendered]]:
        pages = stage(lambda drawn: [sample.result() for sample in drawn], batch.rendered)
        return stage(lambda drawn: [with_image_bytes(rendered, self.background) for rendered in drawn], pages)

    def _cuts(self, rendered: Sequence[Outcome[Rendered]]) -> Iterator[slice]:
        if self.max_tokens is None:
            return iter([slice(None)])
        ask, generation = self.settings.rules.ask, self.settings.rules.generation
        lengths = stage(
            lambda batch: [self.reader.length(ask(r.sample.question), r.pages, generation) for r in batch], rendered
        )
        new = self.settings.new_tokens
        return padded_cuts([0 if isinstance(n, Exception) else n + new for n in lengths], self.max_tokens)

    def _answer_all(
        self, samples: Sequence[Sample], rendered: list[Outcome[Rendered]], todo: Todo
    ) -> Iterator[Answered]:
        whole: dict[bool, list[Outcome[View]]] = {}  # by whether the adapter is on, whose merger is another
        for arm, ids in todo:
            wanted = [i for i, sample in enumerate(samples) if sample.id in ids]
            if not wanted:
                continue
            started = datetime.now(UTC)
            adapted = arm.adapter is not None
            with nullcontext() if self.adapter is None or adapted else self.adapter.off():
                if adapted not in whole:
                    whole[adapted] = stage(self._start, rendered)
                views = self._views(arm, [rendered[i] for i in wanted], [whole[adapted][i] for i in wanted])
                usual, *frugal = (partial(self._answer, t) for t in (self.saving, *self.fallbacks))
                answers = stage(usual, views, frugal)
            # What the model read is not needed any more, and would take memory of an accelerator.
            measured = [replace(v, grids=()) if isinstance(v, View) else v for v in views]
            outcomes = [(rendered[i], v, a) for i, v, a in zip(wanted, measured, answers, strict=True)]
            yield Answered(
                [partial(self._row, arm, samples[i], o, started) for i, o in zip(wanted, outcomes, strict=True)],
                [total for o in outcomes for total in totals(*o)],
            )

    def _start(self, batch: list[Rendered]) -> list[View]:
        """What the baseline is given, and the token methods start from."""
        return self._see(batch) if self.store is None else self._fetch(batch)

    def _see(self, batch: list[Rendered]) -> list[View]:
        start = self._clock()
        grids = self.reader.see_many([r.pages for r in batch])
        vision_ms = (self._clock() - start) * 1e3 / len(batch)
        views = []
        for rendered, own in zip(batch, grids, strict=True):
            tokens, size = sum(map(sizes.cells, own)), sum(map(sizes.raw_bytes, own))
            columns = {
                "vision_tokens_full": tokens,
                "token_bytes_raw": size,
                "token_bytes": size,
                "token_bytes_pages": len(own),
                "vision_ms": vision_ms,
                "vision_pass_pages": self.reader.pages_at_once,
            }
            views.append(View(rendered, own, columns))
        return views

    def _fetch(self, batch: list[Rendered]) -> list[View]:
        """Read tokens that were stored, in place of seeing the pages."""
        assert self.store is not None
        views = []
        for rendered in batch:
            start = perf_counter()
            counts = [self.reader.token_count(page) for page in rendered.pages]
            own = [self.store.page(page.sha256, n) for page, n in zip(rendered.pages, counts, strict=True)]
            columns = {
                "vision_tokens_full": sum(counts),
                "token_bytes_raw": sum(n * grid.features.shape[1] for n, grid in zip(counts, own, strict=True))
                * sizes.BFLOAT16_BYTES,
                "token_bytes": sum(map(sizes.stored_bytes, own)),
                "token_bytes_pages": len(own),
                "vision_ms": (perf_counter() - start) * 1e3,
            }
            views.append(View(rendered, own, columns))
        return views

    def _views(
        self, arm: Arm, rendered: list[Outcome[Rendered]], plain: list[Outcome[View]]
    ) -> Sequence[Outcome[View]]:
        method = arm.method
        if isinstance(method, TokenCompressor):
            return stage(lambda batch: [self._compress(method, view) for view in batch], plain)
        if isinstance(method, ImageCodec):
            coded = stage(lambda batch: [recoded(r, (arm.name, arm.level)) for r in batch], rendered)
            seen = stage(self._see, coded)
            # Tokens are counted against the grids of the pages before the codec.
            return [
                replace(s, columns={**s.columns, **_only(p.columns, "vision_tokens_full", "token_bytes_raw")})
                if isinstance(s, View) and isinstance(p, View)
                else s
                for s, p in zip(seen, plain, strict=True)
            ]
        return plain

    def _compress(self, method: TokenCompressor, view: View) -> View:
        sample = view.rendered.sample
        pages = sizes.counted_pages(self.settings.sizes, self.settings.seed, sample.id, len(view.grids))
        return compressed(method, view, pages, self.background, self._clock)

    def _answer(self, saving: MemorySaving, batch: list[View]) -> list[Answer]:
        rules = self.settings.rules
        questions, grids = [rules.ask(view.rendered.sample.question) for view in batch], [view.grids for view in batch]
        fit = self.settings.max_new_tokens is None  # a limit that nobody asked for must not make an answer fail
        return self.reader.answer_many(questions, grids, self.settings.new_tokens, rules.generation, saving, fit=fit)

    def _row(self, arm: Arm, sample: Sample, outcomes: Sequence[Any], started: datetime) -> Row:
        row = blank_row(
            self.settings, self.data, self.identity, self.model_name, self.device, self.shard, arm,
            self.known_as(arm), sample, started,
        )  # fmt: skip
        for outcome in stage(_measured, outcomes):
            if isinstance(outcome, Exception):
                return failed(row, outcome)
            row = replace(row, **outcome) if isinstance(outcome, dict) else self._graded(row, sample, outcome)
        return row

    def _graded(self, row: Row, sample: Sample, answer: Any) -> Row:
        return graded(row, sample, answer, self.settings.rules)

    def _clock(self) -> float:
        """Now, in seconds, after all work on an accelerator is done: kernels run behind the program's back."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)
        return perf_counter()


def _attach(reader: Reader, folder: Path) -> "Adapter":
    from freqq.glm.adapter import attach  # peft takes a second to import

    return attach(reader, folder)


def _measured(outcomes: Sequence[Any]) -> list[Any]:
    """Columns of what was rendered and seen, with all that had to be counted; anything else as it is."""
    return [
        counted(outcome.columns)
        if isinstance(outcome, Rendered)
        else counted(outcome.rendered.columns | outcome.columns)
        if isinstance(outcome, View)
        else outcome
        for outcome in outcomes
    ]


def _only(columns: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: columns[name] for name in names if name in columns}
