"""What is known to fail before a run starts: checks that give reasons, each with the way out.

`freqq.runs.run.run` makes them before a model is loaded, and ``freqq eval --dry-run`` shows all that they find. Names
and numbers out of range are refused earlier, by `Settings`, `Machine` and `freqq.runs.plan.arms`.
"""

import shutil
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from freqq.data.sample import Sample, context
from freqq.errors import FreqqError, UserError
from freqq.frequency.codebook_files import ELSEWHERE
from freqq.glm.spec import ModelSpec
from freqq.image.codebooks import best_fit
from freqq.image.vq import FEWEST_EXACT, VectorQuantization
from freqq.pages.widths import widths
from freqq.runs.plan import Arm
from freqq.runs.prompts import PromptCounter
from freqq.runs.rendering import Rendering, messages, sample_style
from freqq.runs.settings import Settings
from freqq.tokens.base import TokenCompressor

ROW_BYTES = 600
"""What a row takes at least, in its part and in the results: measured with short answers and 16 samples a part."""

BYTES_PER_TOKEN = 4
"""Of text."""

NAMED = 8
"""Characters that a reason shows."""


@dataclass(frozen=True)
class Reason:
    """Why something cannot work, or will not work as expected.

    Parameters
    ----------
    text : str
        What is wrong and what to do, in one line.
    arms : tuple of str
        Of which arms it is true, by `label`; empty: of the whole run.
    fatal : bool
        False where the run goes on without it: some samples fail, or a method does less.
    """

    text: str
    arms: tuple[str, ...] = ()
    fatal: bool = True

    def __str__(self) -> str:
        return f"{', '.join(self.arms)}: {self.text}" if self.arms else self.text


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
        return PromptCounter(self.spec, self.settings.rendering, self.settings.store)


def label(arm: Arm) -> str:
    """How an arm is called in a reason."""
    return f"{arm.name} {arm.level}"


def refusals(check: Callable[[], object], *arms: str) -> list[Reason]:
    """What a check refuses, as a reason."""
    try:
        check()
    except (FreqqError, OSError, ValueError) as error:
        return [Reason(" ".join(str(error).split()), arms)]
    return []


def preflight(planned: Planned) -> list[Reason]:
    """All reasons that can be told without the model."""
    settings = planned.settings
    found = disk_reasons(rows=len(planned.arms) * len(planned.samples), path=planned.path)
    found += font_reasons(planned.samples, settings.rendering)
    found += pattern_reasons(planned.arms, planned.samples, settings.rendering)
    if planned.spec is not None:
        found += codebook_reasons(planned.arms, planned.spec)
        if settings.backend == "local":
            found += context_reasons(planned)
    return found


def enforce(reasons: Sequence[Reason], note: Callable[[str], None]) -> None:
    """Refuse a run for the first fatal reason; the others are told.

    Raises
    ------
    UserError
        With the number of further ones.
    """
    for reason in reasons:
        if not reason.fatal:
            note(str(reason))
    if fatal := [reason for reason in reasons if reason.fatal]:
        raise UserError(f"{fatal[0]}{more(len(fatal) - 1)}")


def more(count: int) -> str:
    """How an error ends that stands for others."""
    return f" (and {count} more; freqq eval --dry-run shows all)" if count else ""


def codebook_reasons(arms: Sequence[Arm], spec: ModelSpec) -> list[Reason]:
    """Token methods that have nothing for this model's tokens."""
    found = []
    for arm in arms:
        method = arm.method
        if isinstance(method, TokenCompressor):
            embedded = bool(method.resources) and spec.has_embedded_tower
            found += refusals(lambda m=method, e=embedded: m.check_model(spec.channels, e), label(arm))  # type: ignore[misc]
    return _gathered(found)


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
    return _gathered(found)


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
    """Fonts that lack characters of the chats: fatal if every chat would be mostly boxes."""
    lacking: dict[str, Counter[str]] = {}
    touched: Counter[str] = Counter()
    mostly: Counter[str] = Counter()
    for font, text in _shown(samples, rendering):
        counts = {char: text.count(char) for char in lacking_characters(font, text)}
        if counts:
            lacking.setdefault(font, Counter()).update(counts)
            touched[font] += 1
            mostly[font] += sum(counts.values()) > len(text) / 2
    found = []
    for font, counts in lacking.items():
        shown = "".join(char for char, _ in counts.most_common(NAMED))
        which = f"{len(counts)} character{'s' if len(counts) > 1 else ''} of {touched[font]} of {len(samples)} chats"
        text = f"the font {font} lacks {which} ({shown})"
        fatal = mostly[font] == len(samples)
        end = "of which nearly nothing could be read" if fatal else "which pages show as boxes"
        found.append(Reason(f"{text}, {end}: --font FILE chooses another", fatal=fatal))
    return found


def lacking_characters(font: str, text: str) -> set[str]:
    """The characters of a text, white space and invisible ones left out, that a font has no glyph for."""
    measure = widths(font, 10.0)
    chars = {char for char in set(text) if char.isprintable() and not char.isspace()}
    for char in chars:
        measure[char]
    return measure.lacking("".join(chars))


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


def pattern_reasons(arms: Sequence[Arm], samples: Sequence[Sample], rendering: Rendering) -> list[Reason]:
    """Whether `image-vq` knows the look of the pages, by the first page of the shortest chat."""
    own = [label(arm) for arm in arms if isinstance(arm.method, VectorQuantization)]
    if not own or not samples:
        return []
    try:
        page = next(iter(rendering.pages(samples[-1])), None)
    except (UserError, OSError):
        return []
    fit = None if page is None or page.pixels.ndim == 3 else best_fit(page.pixels)
    if fit is not None and fit.share >= FEWEST_EXACT:
        return []
    text = (
        "no codebook knows the look of these pages, so they are stored as WebP, some ten times as large: run freqq "
        f"codebook train --font FONT.ttf, and set {ELSEWHERE} to the folder of its file"
    )
    return [Reason(text, tuple(own), fatal=False)]


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


def _gathered(reasons: Sequence[Reason]) -> list[Reason]:
    """Reasons of one text put together."""
    arms: dict[tuple[str, bool], tuple[str, ...]] = {}
    for reason in reasons:
        key = (reason.text, reason.fatal)
        arms[key] = arms.get(key, ()) + reason.arms
    return [Reason(text, own, fatal) for (text, fatal), own in arms.items()]
