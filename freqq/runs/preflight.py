"""What is known to fail before a run starts: checks that give reasons, each with the way out.

`freqq.runs.run.run` makes them before a model is loaded, and ``freqq eval --dry-run`` shows all that they find. Names
and numbers out of range are refused earlier, by `Settings`, `Machine` and `freqq.runs.plan.arms`.
"""

import shutil
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from freqq.data.sample import Sample, context
from freqq.errors import UserError
from freqq.glm.adapter_card import check_base
from freqq.glm.families import check_engine
from freqq.glm.families.base import Family
from freqq.glm.load import check_memory, find
from freqq.glm.place import Placement
from freqq.glm.spec import ModelSpec, read_spec
from freqq.pages.fonts import lacking
from freqq.runs.machine import Machine
from freqq.runs.plan import Arm
from freqq.runs.prompts import PromptCounter
from freqq.runs.reasons import Reason, gathered, label, refusals
from freqq.runs.rendering import Rendering, messages, sample_style
from freqq.runs.served import Service
from freqq.runs.settings import Settings
from freqq.tokens.base import TokenCompressor

ROW_BYTES = 600
"""What a row takes at least, in its part and in the results: measured with short answers and 16 samples a part."""

BYTES_PER_TOKEN = 4
"""Of text."""


@dataclass(frozen=True)
class Planned:
    """What a run is about to do.

    Parameters
    ----------
    samples : sequence of Sample
        Those that wait for an answer, longest first.
    spec : ModelSpec or None
        Of the model that sees pages here; None if a server does all of it.
    path : Path
        The run directory.
    """

    settings: Settings
    arms: Sequence[Arm]
    samples: Sequence[Sample]
    spec: ModelSpec | None
    path: Path

    @cached_property
    def counter(self) -> PromptCounter | None:
        """Counts the tokens of the samples."""
        if self.spec is None:
            return None
        return PromptCounter(self.spec, self.settings.rendering, self.settings.rules, self.settings.store)


def preflight(planned: Planned) -> list[Reason]:
    """All reasons that are known without the model."""
    settings = planned.settings
    found = disk_reasons(rows=len(planned.arms) * len(planned.samples), path=planned.path)
    found += font_reasons(planned.samples, settings.rendering)
    if planned.spec is not None:
        found += codebook_reasons(planned.arms, planned.spec)
        if settings.backend == "vllm":
            found += engine_reasons(planned.arms, planned.spec.family)
        if settings.backend != "openai":
            found += context_reasons(planned)
    return found


def codebook_reasons(arms: Sequence[Arm], spec: ModelSpec) -> list[Reason]:
    """Token methods that have nothing for this model's tokens."""
    found = []
    for arm in arms:
        method = arm.method
        if isinstance(method, TokenCompressor):
            found += refusals(partial(spec.check_method, method), label(arm))
    return gathered(found)


def engine_reasons(arms: Sequence[Arm], family: Family) -> list[Reason]:
    """Token methods, which are the plug-in's work, where it does not know the model's family."""
    compressed = [arm for arm in arms if isinstance(arm.method, TokenCompressor)]
    return gathered([found for arm in compressed for found in refusals(partial(check_engine, family), label(arm))])


def context_reasons(planned: Planned) -> list[Reason]:
    """Arms whose prompts do not fit into the model's positions.

    Only as many chats are drawn as it takes: samples are in the order of their length, so those that are too long come
    first, up to a few beside the border.
    """
    counter, count = planned.counter, len(planned.samples)
    assert counter is not None
    found = []
    for arm in planned.arms:

        def fits(index: int, arm: Arm = arm) -> bool:
            tokens = _tokens(counter, planned.samples[index], arm)
            return tokens is None or tokens + answer_room(planned.settings) <= counter.spec.context

        if count and not fits(0):
            longest = _tokens(counter, planned.samples[0], arm) or 0
            too_long = bisect_left(range(count), True, key=fits)
            found += too_long_reasons(arm, too_long, count, longest, planned.settings, counter.spec.context)
    return gathered(found)


def _tokens(counter: PromptCounter, sample: Sample, arm: Arm) -> int | None:
    """A prompt's length; None if the sample cannot be drawn, which its row will say."""
    try:
        return counter.size(sample, arm).prompt_tokens
    except (UserError, OSError):
        return None


def answer_room(settings: Settings) -> int:
    """New tokens that a prompt needs room for: those that were asked for, else the one without which it fails."""
    return settings.max_new_tokens or 1


def too_long_reasons(
    arm: Arm, too_long: int, count: int, longest: int, settings: Settings, context: int
) -> list[Reason]:
    """The reason of an arm of which some prompts do not fit."""
    if not too_long:
        return []
    new = f" and {settings.max_new_tokens:,} new ones" if settings.max_new_tokens else ""
    which = f"all {count}" if too_long == count else f"about {too_long} of {count}"
    way = "use fewer pages (--bin), a lower resolution (--dpi), a method that leaves fewer tokens"
    way += " or a smaller --max-new-tokens" if settings.max_new_tokens else ""
    text = f"{which} prompts, the longest of {longest:,} tokens{new}, do not fit into the model's {context:,}"
    fate = "" if too_long == count else " and will fail"
    return [Reason(f"{text}{fate}: {way}", (label(arm),), fatal=too_long == count)]


def font_reasons(samples: Sequence[Sample], rendering: Rendering) -> list[Reason]:
    """What there is to say of fonts: fatal if they lack most of the text of every chat."""
    boxes = (_is_boxes(font, text) for font, text in _shown(samples, rendering))
    first = next(boxes, None)
    if first and all(boxes):
        [font, *more] = dict.fromkeys(font for font, _ in _shown(samples, rendering))
        also = f" (and {len(more)} more)" if more else ""
        text = f"the font {font}{also} lacks most characters of every chat, so pages would show boxes"
        return [Reason(f"{text}: choose another with --font", fatal=True)]
    return [Reason(remark, fatal=False) for remark in rendering.remarks(samples)]


def _is_boxes(font: str, text: str) -> bool:
    """Whether a font lacks most of a text."""
    return sum(map(text.count, lacking(font, text))) > len(text) / 2


def _shown(samples: Sequence[Sample], rendering: Rendering) -> Iterator[tuple[str, str]]:
    """The font and text of each sample that is drawn here; what cannot be becomes a row that says why."""
    for sample in samples:
        try:
            if sample.style:
                yield sample_style(sample).font, "\n".join(messages(sample))
            elif not sample.images:
                yield rendering.of(sample).font_path, context(sample)
        except UserError:
            continue


def disk_reasons(rows: int, path: Path) -> list[Reason]:
    """Whether a run's rows, with answers of no length, are more than the disk has room for."""
    free = free_bytes(path)
    if rows * ROW_BYTES <= free:
        return []
    text = f"{rows:,} rows take at least {rows * ROW_BYTES / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free for {path}"
    return [Reason(f"{text}: make room, or choose another --out")]


def free_bytes(path: Path) -> int:
    """What is free where a folder is, or would be."""
    there = next(folder for folder in (path.resolve(), *path.resolve().parents) if folder.exists())
    return shutil.disk_usage(there).free


@dataclass(frozen=True)
class Found:
    """The model of a run as far as it was found, and why it cannot work.

    Parameters
    ----------
    spec : ModelSpec or None
        None if it is not there, or a server does all that a model does.
    placements : sequence of Placement
        One for each replica; empty if it cannot be placed.
    """

    spec: ModelSpec | None
    placements: Sequence[Placement]
    reasons: list[Reason]


def find_model(settings: Settings, machine: Machine, arms: Sequence[Arm], elsewhere: bool = False) -> Found:
    """Look for what `freqq.runs.run.run` would load, and gather what it would refuse.

    Parameters
    ----------
    elsewhere : bool
        Whether the run is for another machine: nothing is asked of this one, and ``auto`` is bfloat16 on a GPU.
    """
    reasons = refusals(lambda: machine.check_backend(settings.backend))
    if settings.backend == "openai":
        reasons += refusals(lambda: Service.reach(settings, machine, arms).client.close())
        if not any(isinstance(arm.method, TokenCompressor) for arm in arms):
            return Found(None, (), reasons)
    placements: list[Placement] = []
    if elsewhere:
        dtype = "bfloat16" if settings.dtype == "auto" else settings.dtype
        placements = [Placement(dtype, "cuda:0", quantization=settings.quantization)]
    else:
        reasons += refusals(lambda: placements.extend(machine.placements(settings)))
    specs: list[ModelSpec] = []
    reasons += refusals(lambda: specs.append(read_spec(find(settings.model, settings.revision))))
    for spec in specs:
        weights, folder, store = spec.weights, settings.adapter_folder, settings.store
        if folder is not None:
            reasons += refusals(partial(check_base, folder, settings.model, weights.revision))
        if store is not None:
            reasons += refusals(partial(store.check_model, settings.model, weights.revision))
        if not any(weights.folder.glob("*.safetensors")):
            reasons.append(
                Reason(f"{weights.name} has no safetensors weights in {weights.folder}: get the files again")
            )
        if placements and not elsewhere:
            reasons += refusals(partial(check_memory, weights, placements[0]))
    return Found(specs[0] if specs else None, placements, reasons)
