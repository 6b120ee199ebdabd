"""What a run would do and take, and every reason why it cannot: counted and looked up without loading its model."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from freqq.glm.memory import memories, weight_bytes
from freqq.glm.place import Placement
from freqq.glm.reader import MAX_PATCHES
from freqq.glm.spec import ModelSpec
from freqq.image.base import ImageCodec
from freqq.runs.directory import RunDirectory
from freqq.runs.machine import HERE, Machine
from freqq.runs.pace import Load, Pace, pace
from freqq.runs.plan import Arm, arms, draw, share
from freqq.runs.preflight import (
    BYTES_PER_TOKEN,
    ROW_BYTES,
    Planned,
    answer_room,
    find_model,
    free_bytes,
    preflight,
)
from freqq.runs.prompts import PromptCounts, chosen_to_count, count_prompts
from freqq.runs.reasons import Reason, label, refusals
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from freqq.runs.sizes import BFLOAT16_BYTES


@dataclass(frozen=True)
class Prompts:
    """Tokens of the prompts that were counted: fewest, median and most."""

    least: int
    median: float
    most: int


@dataclass(frozen=True)
class ArmForecast:
    """What one arm would read and take.

    Parameters
    ----------
    vision_tokens : float
        That are left of all samples' pages; None if no model here sees them.
    kept : float
        As a fraction of the tokens of the rendered pages.
    prompts : Prompts or None
    too_long : int
        Counted prompts that do not fit into the model's context with the new tokens that were asked for.
    kv_bytes : int or None
        Of the longest counted prompt's cache with the longest answer.
    token_bytes : int or None
        Of the tokens that are left, in bfloat16: what storing them takes where nothing is coded.
    seconds : float or None
        What the arm adds, by an earlier run.
    works : bool
        Whether no fatal reason is of this arm or of the whole run.
    """

    method: str
    level: str
    params: str
    vision_tokens: float | None = None
    kept: float | None = None
    prompts: Prompts | None = None
    too_long: int = 0
    kv_bytes: int | None = None
    token_bytes: float | None = None
    seconds: float | None = None
    works: bool = True


@dataclass(frozen=True)
class Memory:
    """Bytes of a replica: weights, cache a token, about what a vision pass and the longest prompt take, what is there.

    ``prompt`` is None if no prompt was counted.
    """

    dtype: str
    weights: int
    kv_bytes_per_token: int
    vision_pass: int
    prompt: int | None
    there: int | None


@dataclass(frozen=True)
class Disk:
    """Bytes of the run's rows: at least, at most (every answer of full length), and what is free for them."""

    least: int
    most: int
    free: int


@dataclass(frozen=True)
class Forecast:
    """What ``freqq eval --dry-run`` shows.

    Parameters
    ----------
    samples, counted, seed : int
        How many chats there are, how many were drawn to count their tokens, and by which seed those were chosen.
        If not all were, `pages` and the sums of tokens are estimates.
    context : int or None
        The model's.
    new_tokens : int
        The longest answer.
    answers : str or None
        What stands around the model's answers, as far as its chat template and tokenizer tell.
    pace : Pace or None
        The earlier run that times are estimated by.
    reasons : sequence of Reason
    """

    path: Path
    data: str
    model: str
    samples: int
    counted: int
    seed: int
    pages: float | None
    context: int | None
    new_tokens: int
    answers: str | None
    arms: tuple[ArmForecast, ...]
    memory: Memory | None
    disk: Disk
    seconds: float | None
    pace: Pace | None
    reasons: tuple[Reason, ...]

    @property
    def fatal(self) -> tuple[Reason, ...]:
        """The reasons why the run, or an arm of it, cannot work."""
        return tuple(reason for reason in self.reasons if reason.fatal)

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON's types."""
        earlier = None if self.pace is None else {"run": str(self.pace.run), "rows": self.pace.rows}
        return asdict(self) | {"path": str(self.path), "pace": earlier, "works": not self.fatal}


def forecast(
    settings: Settings,
    out: Path | None = None,
    machine: Machine | None = None,
    elsewhere: bool = False,
    shard: Shard | None = None,
) -> Forecast:
    """Count what a run would do, and gather every reason why it cannot.

    Parameters
    ----------
    out, machine, shard : as of `freqq.runs.run.run`
    elsewhere : bool
        Whether it is to run on another machine: nothing is said of the memory and the GPUs of this one, and ``auto``
        is bfloat16.

    Raises
    ------
    UserError
        If there is nothing to count: a name or a parameter is wrong, or the data cannot be read.
    """
    machine = machine or HERE
    todo, directory = arms(settings), RunDirectory(out or settings.directory())
    everything = settings.source.read(share(draw(settings).entries, shard or Shard()))
    reasons = refusals(lambda: directory.check(settings))
    found = find_model(settings, machine, todo, elsewhere)
    spec, placement = found.spec, found.placements[0] if found.placements else None
    planned = Planned(settings, todo, everything, spec, directory.path)
    chosen = chosen_to_count(everything, settings.seed)
    counts = count_prompts(planned.arms, chosen, everything, settings.rendering, planned.counter)
    reasons += [*found.reasons, *undrawable(counts, len(chosen)), *preflight(planned)]
    past = None
    if spec is not None and placement is not None and not elsewhere and settings.backend != "openai":
        past = pace((directory.path.parent, Path("runs")), spec.weights.revision, placement.dtype, placement.device)
    broken = {name for reason in reasons if reason.fatal for name in reason.arms or map(label, todo)}
    arm_forecasts = tuple(_arm(planned, arm, counts, placement, past, label(arm) not in broken) for arm in todo)
    return Forecast(
        path=directory.path,
        data=settings.data,
        model=settings.model if settings.backend != "openai" else settings.served_model or "the server's",
        samples=len(everything),
        counted=len(chosen),
        seed=settings.seed,
        pages=counts.pages,
        context=None if spec is None or settings.backend == "openai" else spec.context,
        new_tokens=settings.new_tokens,
        answers=None if spec is None or settings.backend == "openai" else str(spec.family.answer_style(spec.tokenizer)),
        arms=arm_forecasts,
        memory=None
        if spec is None or placement is None
        else _memory(spec, placement, counts, elsewhere, machine.prefill_chunk),
        disk=_disk(planned),
        seconds=_seconds(planned, arm_forecasts, counts, past, len(found.placements)),
        pace=past,
        reasons=tuple(reasons),
    )


def undrawable(counts: PromptCounts, counted: int) -> list[Reason]:
    """Samples that cannot be drawn or read: fatal if none can."""
    if not counts.failed:
        return []
    text = f"{len(counts.failed)} of {counted} samples cannot be drawn or read, the first {counts.failed[0]}"
    return [Reason(text, fatal=len(counts.failed) == counted)]


def _arm(
    planned: Planned, arm: Arm, counts: PromptCounts, placement: Placement | None, past: Pace | None, works: bool
) -> ArmForecast:
    settings, spec = planned.settings, planned.spec
    bare = ArmForecast(arm.name, arm.level, arm.params, works=works)
    sizes = counts.sizes.get(arm, [])
    if not sizes or spec is None:
        return bare
    load = Load(len(planned.samples), **counts.sums(arm))
    lengths = [size.prompt_tokens for size in sizes]
    local = settings.backend != "openai"
    longest = max(lengths) + min(settings.new_tokens, max(0, spec.context - max(lengths)))
    return replace(
        bare,
        vision_tokens=load.vision_tokens,
        kept=load.vision_tokens / load.vision_tokens_full,
        prompts=Prompts(min(lengths), median(lengths), max(lengths)),
        too_long=sum(n + answer_room(settings) > spec.context for n in lengths) if local else 0,
        kv_bytes=spec.kv_bytes_per_token(placement.dtype) * longest if placement is not None and local else None,
        token_bytes=load.vision_tokens * spec.channels * BFLOAT16_BYTES,
        seconds=None
        if past is None
        else past.arm_seconds(load, arm.name, isinstance(arm.method, ImageCodec), settings.new_tokens),
    )


def _memory(
    spec: ModelSpec, placement: Placement, counts: PromptCounts, elsewhere: bool, piece: int | None
) -> Memory | None:
    """None if the weights' files are damaged, which is a reason of its own."""
    try:
        weights = weight_bytes(spec.weights.folder, placement.dtype, placement.quantization)
    except (OSError, ValueError):
        return None
    dtype, prompts = placement.dtype, [size for own in counts.sizes.values() for size in own]
    needed = [spec.prompt_bytes(size.prompt_tokens, size.vision_tokens, piece, dtype) for size in prompts]
    patches = max(MAX_PATCHES, counts.largest_page * spec.patches_per_token)
    return Memory(
        dtype=placement.quantization or placement.dtype,
        weights=weights,
        kv_bytes_per_token=spec.kv_bytes_per_token(dtype),
        vision_pass=spec.vision_bytes(patches, dtype),
        prompt=max(needed, default=None),
        there=None if elsewhere else sum(memories(placement.device, placement.spread)),
    )


def _disk(planned: Planned) -> Disk:
    rows = len(planned.arms) * len(planned.samples)
    answers = sum(len(sample.answer.encode()) for sample in planned.samples) * len(planned.arms)
    # A text stands in its part and in the results.
    texts = 2 * (answers + rows * planned.settings.new_tokens * BYTES_PER_TOKEN)
    return Disk(rows * ROW_BYTES, rows * ROW_BYTES + texts, free_bytes(planned.path))


def _seconds(
    planned: Planned, found: Sequence[ArmForecast], counts: PromptCounts, past: Pace | None, replicas: int
) -> float | None:
    """Of the whole run, on so many replicas; None if an arm's time is not known."""
    known = [arm.seconds for arm in found if arm.seconds is not None]
    if past is None or len(known) < len(found):
        return None
    sums = counts.sums(planned.arms[0])
    return (past.pages_seconds(sums["page_pixels"], sums["vision_tokens_full"]) + sum(known)) / replicas
