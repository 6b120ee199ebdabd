"""An evaluation of six token arms on a model of the real width, whose layers take as long as an A100 would.

The layers of the model are replaced by sleeping: what is left is all that a run does beside them, in real threads on
real pages and tokens. Its time is compared with that of the same calls of the model without a run around them.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, process_time, sleep, thread_time
from typing import Any

import pytest
import torch
from torch import Tensor

from freqq.data.sample import Sample, Turn
from freqq.glm.place import multiplies_bfloat16
from freqq.glm.reader import Reader
from freqq.runs.batches import Remaining
from freqq.runs.evaluate import BatchEvaluator
from freqq.runs.local_loop import evaluate_remaining
from freqq.runs.machine import Machine
from freqq.runs.parts import PartWriter, part_files, read_rows
from freqq.runs.plan import arms
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from freqq.runs.stop import StopRequest
from freqq.tokens import compressor
from tests.bench.wide_glm4v import CHANNELS, wide_reader
from tests.conftest import needs_tiny

FLOPS, BYTES_A_S = 312e12 * 0.5, 1.555e12 * 0.8
"""What an A100 40 GB is taken to reach: half of its bfloat16 peak in prefill, 80 % of its memory's bandwidth."""

LAYERS, LAYER, HEAD = 40, 204e6, 621e6
"""Of GLM-4.1V-9B's language model: layers, parameters of one, and parameters of what follows them."""

TOWER, TOWER_LAYER, MERGER, WIDTH = 24, 28.3e6, 185e6, 1536
KV_BYTES = 40960

SIX = ("token", "token-int8", "token-int4", "token-lowpass", "token-prune", "token-lowpass+int8")


SLEPT = [0.0]
"""Seconds of the model's layers so far."""


def sleep_for(seconds: float) -> None:
    SLEPT[0] += seconds
    sleep(seconds)


class Tower(torch.nn.Module):
    """Sleeps as long as the blocks and the merger take."""

    def __init__(self, before: torch.nn.Module) -> None:
        super().__init__()
        self.before, self.spatial_merge_size = before, before.spatial_merge_size

    @property
    def dtype(self) -> torch.dtype:
        return self.before.dtype

    def forward(self, pixels: Tensor, grid_thw: Tensor, **more: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        patches = len(pixels)
        within = sum(int(n) ** 2 for n in grid_thw.prod(-1))
        flops = 2 * TOWER * TOWER_LAYER * patches + 2 * MERGER * patches / 4 + 4 * TOWER * WIDTH * within
        sleep_for(flops / FLOPS)
        # Tokens that are not all alike: a page's own pixels, mixed by a fixed matrix.
        tokens = pixels.view(patches // 4, -1)[:, : self.mix.shape[0]].to(self.mix.dtype) @ self.mix
        return BaseModelOutputWithPooling(last_hidden_state=pixels, pooler_output=tokens)

    @property
    def mix(self) -> Tensor:
        return self.before.merger.proj.weight[:588]


class Layer(torch.nn.Module):
    """Sleeps as long as all layers take, and fills the cache as one does."""

    def forward(self, hidden_states: Tensor, past_key_values: Any = None, **more: Any) -> Tensor:
        rows, new, _ = hidden_states.shape
        before = past_key_values.get_seq_length() if past_key_values is not None else 0
        flops = 2 * LAYERS * LAYER * rows * new + 4 * LAYERS * CHANNELS * rows * new * (before + new / 2)
        read = 2 * (LAYERS * LAYER + HEAD) + rows * KV_BYTES * (before + new)
        sleep_for(max(flops / FLOPS, read / BYTES_A_S))
        if past_key_values is not None:
            cached = hidden_states[:, :, :256].view(rows, new, 2, 128).transpose(1, 2)
            past_key_values.update(cached, cached, 0)
        return hidden_states


@pytest.fixture(scope="module")
def reader(request: pytest.FixtureRequest) -> Reader:
    timed = bool(request.config.getoption("benchmark_enable"))
    # To see that it works, float32 will do where bfloat16 takes five times as long.
    made = wide_reader(torch.bfloat16 if timed or multiplies_bfloat16() else torch.float32)
    inner = made.model.model
    inner.visual = Tower(inner.visual)
    inner.language_model.layers = torch.nn.ModuleList([Layer()])
    made.model.generation_config.eos_token_id = None  # every answer is as long as it may be
    return made


def chats(count: int, pages: int) -> list[Sample]:
    """Chats of so many full pages of Glyph's."""
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(1, 9))) for _ in range(3000)]
    return [
        Sample(
            f"chat-{i}", 2, "", (Turn("user", " ".join(chance.choices(words, k=1450 * pages))),), "Which?", "prefix x",
            "prefix",
        )
        for i in range(count)
    ]  # fmt: skip


@dataclass(frozen=True)
class Seconds:
    """What some work took.

    Parameters
    ----------
    wall : in all
    path : the layers' time and that of the processor in this thread, which is what `wall` is where cores are free
    """

    wall: float
    path: float

    @classmethod
    def of(cls, work: Callable[[], object]) -> "Seconds":
        slept, used, start = SLEPT[0], thread_time(), perf_counter()
        work()
        return cls(perf_counter() - start, SLEPT[0] - slept + thread_time() - used)


class Timed(Reader):
    """A reader that notes what its own calls take."""

    def __init__(self, reader: Reader) -> None:
        self.__dict__.update(reader.__dict__)
        self.calls: list[Seconds] = []

    def see_many(self, *given: Any) -> Any:
        return self._noted(lambda: Reader.see_many(self, *given))

    def answer_many(self, *given: Any, **more: Any) -> Any:
        return self._noted(lambda: Reader.answer_many(self, *given, **more))

    def _noted(self, call: Callable[[], Any]) -> Any:
        found: list[Any] = []
        self.calls.append(Seconds.of(lambda: found.append(call())))
        return found[0]


def model_alone(reader: Reader, settings: Settings, samples: list[Sample]) -> Callable[[], None]:
    """The model's calls, all of what they are given made before."""
    made = []
    for sample in samples:
        pages = list(settings.rendering.pages(sample))
        grids = reader.see(pages)
        methods = [arm.method for arm in arms(settings)]
        made.append((sample, pages, [[m.reconstruct(g) if m else g for g in grids] for m in methods]))

    def calls() -> None:
        for sample, pages, views in made:
            reader.see_many([pages])
            for grids in views:
                reader.answer_many([sample.question], [grids], settings.new_tokens, settings.rules.generation)

    return calls


@needs_tiny
def test_evaluation_beside_the_model(benchmark, reader, tmp_path, capsys):
    count, pages, new = (3, 8, 64) if benchmark.enabled else (1, 1, 2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    settings = Settings(data="mini", look="glyph", methods=SIX, levels=("mild",), max_new_tokens=new)
    samples = chats(count, pages)
    (tmp_path / "parts").mkdir()

    timed = Timed(reader)

    def evaluation() -> None:
        evaluator = BatchEvaluator(timed, settings, Shard(), Machine())
        hashed = [(arm, evaluator.known_as(arm)) for arm in arms(settings)]
        writer = PartWriter(tmp_path, Shard(), {})
        try:
            remaining = Remaining(samples, hashed)
            assert evaluate_remaining(evaluator, writer, remaining, 1, StopRequest(), lambda what: None)
        finally:
            evaluator.close()

    try:
        alone = Seconds.of(model_alone(reader, settings, samples))
        used = process_time()
        took = Seconds.of(lambda: benchmark.pedantic(evaluation, rounds=1))
        used = process_time() - used
    finally:
        torch.set_num_threads(threads)
    rows = [row for part in part_files(tmp_path) for row in read_rows(part).to_pylist()]
    assert len(rows) == count * (len(SIX) + 1)
    assert {row["error"] for row in rows} == {None}
    assert {row["pages"] for row in rows} <= {pages, pages + 1}
    inside = Seconds(sum(call.wall for call in timed.calls), sum(call.path for call in timed.calls))
    wall_ratio, path_ratio = took.wall / alone.wall, took.path / inside.path
    benchmark.extra_info.update(wall_ratio=wall_ratio, path_ratio=path_ratio, processor_s=used)
    if benchmark.enabled:
        with capsys.disabled():
            print(
                f"\n{count} chats of {rows[0]['pages']} pages, {len(SIX) + 1} arms, {new} new tokens: the model alone "
                f"{alone.wall:.1f} s, the evaluation {took.wall:.1f} s, {wall_ratio:.3f}x. Layers and main thread "
                f"without waiting for a core: {took.path:.1f} s, of these {inside.path:.1f} s in the model's calls, "
                f"{path_ratio:.3f}x. {used:.1f} s of the processor in all threads"
            )


@pytest.fixture(scope="module")
def page(reader: Reader) -> Tensor:
    [sample] = chats(1, 1)
    settings = Settings(data="mini", look="glyph")
    return reader.see(list(settings.rendering.pages(sample))[:1])[0]


@needs_tiny
@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize(
    "name", ["token", "token-int8", "token-int4", "token-lowpass", "token-pool", "token-prune", "token-stride"]
)
def test_one_page_on_the_critical_path(benchmark, page, name, cores, capsys):
    """What an answer waits for, of a page of 30 x 21 tokens of 4,096 channels; coding its stream is behind it.

    On two cores it is this thread's half of the work, which is what it takes where both are free. Threads have to wait
    without using the processor: OMP_WAIT_POLICY=PASSIVE.
    """
    method = compressor(name).at("mild")
    threads = torch.get_num_threads()
    torch.set_num_threads(cores)
    try:
        made, stream = benchmark.pedantic(method.begin, (page,), rounds=20 if benchmark.enabled else 1)
        waits = least(lambda: method.begin(page), 20 if benchmark.enabled else 1)
        coding = 0.0 if stream is None else least(stream.write, 5 if benchmark.enabled else 1)
    finally:
        torch.set_num_threads(threads)
    assert len(made.features) == method.tokens_left(*page.shape[:2])
    benchmark.extra_info.update(processor_ms=waits, coding_processor_ms=coding)
    if benchmark.enabled:
        with capsys.disabled():
            print(
                f"\n{name} mild, {cores} cores: an answer waits {waits:.1f} ms, not {coding:.1f} ms of coding", end=""
            )


def least(work: Callable[[], object], rounds: int) -> float:
    """The least milliseconds of the processor, which another program that wants the core hardly changes."""
    found = []
    for _ in range(rounds):
        start = thread_time()
        work()
        found.append(thread_time() - start)
    return min(found) * 1e3
