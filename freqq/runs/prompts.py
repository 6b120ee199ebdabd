"""How long the prompts of a run get, counted without its model: pages are drawn, and nothing is seen."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from freqq.data.sample import Sample
from freqq.errors import UserError
from freqq.glm.spec import ModelSpec
from freqq.image.base import ImageCodec
from freqq.pages.page import Page
from freqq.runs.plan import Arm, known_length
from freqq.runs.protocols import Protocol
from freqq.runs.rendering import Rendering
from freqq.tokens.base import TokenCompressor
from freqq.tokens.store import TokenStore

COUNTED, MOST_CHARACTERS = 64, 4_000_000
"""Chats that are drawn to count their tokens. Of more, unless all together are short enough to be drawn in some ten
seconds, the longest, the shortest and a seeded draw stand for all.
"""

SUMMED = ("page_pixels", "vision_tokens_full", "vision_tokens", "prompt_tokens")


@dataclass(frozen=True)
class PageSize:
    """Height and width of a rendered page in pixels, and its digest where stored tokens are looked up by it."""

    height: int
    width: int
    sha256: str | None = None


@dataclass(frozen=True)
class PromptSize:
    """What the row of an answer will say; the names are those of `freqq.runs.schema.Row`."""

    pages: int
    page_pixels: int
    vision_tokens_full: int
    vision_tokens: int
    prompt_tokens: int


@dataclass
class PromptCounter:
    """Counts the tokens of samples, as `freqq.runs.evaluate.BatchEvaluator` will read them.

    Parameters
    ----------
    spec : ModelSpec
        Of the model that sees the pages.
    rendering : Rendering
        How pages look.
    rules : Protocol
        How samples are asked.
    store : TokenStore or None
        The streams that are read in place of running the vision tower.
    """

    spec: ModelSpec
    rendering: Rendering
    rules: Protocol
    store: TokenStore | None = None
    _pages: dict[str, list[PageSize]] = field(default_factory=dict)

    def pages(self, sample: Sample) -> list[PageSize]:
        """A sample's pages; they are drawn once.

        Raises
        ------
        UserError, OSError
            If they cannot be drawn.
        """
        if sample.id not in self._pages:
            drawn = self.rendering.pages(sample)
            self._pages[sample.id] = [_size(page, hashed=self.store is not None) for page in drawn]
        return self._pages[sample.id]

    def size(self, sample: Sample, arm: Arm) -> PromptSize:
        """A sample's prompt by one arm.

        Raises
        ------
        UserError, OSError
            If the sample cannot be drawn or read; its row will say so.
        """
        pages = self.pages(sample)
        if not pages:
            raise UserError(f"sample {sample.id} has no page")
        full = [self.spec.grid_shape(page.height, page.width) for page in pages]
        left = self._left(arm, pages, full)
        return PromptSize(
            pages=len(pages),
            page_pixels=sum(page.height * page.width for page in pages),
            vision_tokens_full=sum(h * w for h, w in full),
            vision_tokens=left,
            prompt_tokens=self.spec.prompt_tokens(
                self.rules.ask(sample.question), len(pages), left, self.rules.generation.special_tokens
            ),
        )

    def _left(self, arm: Arm, pages: Sequence[PageSize], full: Sequence[tuple[int, int]]) -> int:
        method = arm.method
        if isinstance(method, TokenCompressor):
            return sum(method.tokens_left(h, w) for h, w in full)
        if isinstance(method, ImageCodec):
            decoded = [self.spec.grid_shape(*method.decoded_size(page.height, page.width)) for page in pages]
            return sum(h * w for h, w in decoded)
        if self.store is not None:
            stored = zip(pages, full, strict=True)
            return sum(len(self.store.page(str(p.sha256), h * w).features) for p, (h, w) in stored)
        return sum(h * w for h, w in full)


def _size(page: Page, hashed: bool) -> PageSize:
    height, width = page.pixels.shape[:2]
    return PageSize(height, width, page.sha256 if hashed else None)


@dataclass(frozen=True)
class PromptCounts:
    """What was counted of a run.

    Parameters
    ----------
    sizes : mapping of Arm to list of PromptSize
        The prompts of the samples that could be drawn; empty without a model that sees them here.
    pages : float or None
        Of all samples: scaled up by the lengths of the chats if not all were counted.
    scale : float
        Factor of other sums.
    largest_page : int
        Tokens of the largest page.
    failed : list of str
        Samples that could not be drawn, and why.
    """

    sizes: dict[Arm, list[PromptSize]]
    pages: float | None
    scale: float
    largest_page: int
    failed: list[str]

    def sums(self, arm: Arm) -> dict[str, float]:
        """Of all samples, by the names of `PromptSize`."""
        return {name: self.scale * sum(getattr(size, name) for size in self.sizes[arm]) for name in SUMMED}


def chosen_to_count(everything: Sequence[Sample], seed: int) -> list[Sample]:
    """The samples to count, in order, of samples that are longest first."""
    characters = sum(len(turn.text) for sample in everything for turn in sample.turns)
    has_images = any(sample.images for sample in everything)
    if len(everything) <= COUNTED or (characters <= MOST_CHARACTERS and not has_images):
        return list(everything)
    inner = random.Random(f"dry run/{seed}").sample(range(1, len(everything) - 1), COUNTED - 2)
    return [everything[i] for i in sorted({0, *inner, len(everything) - 1})]


def count_prompts(
    arms: Sequence[Arm],
    chosen: Sequence[Sample],
    everything: Sequence[Sample],
    rendering: Rendering,
    counter: PromptCounter | None,
) -> PromptCounts:
    """Draw the pages of some samples, and count them for all.

    Parameters
    ----------
    counter : PromptCounter or None
        None where no model sees the pages here: only pages are counted then.
    """
    sizes: dict[Arm, list[PromptSize]] = {arm: [] for arm in arms if counter is not None}
    good, pages, largest, failed = [], 0, 0, []
    for sample in chosen:
        try:
            if counter is None:
                pages += sum(1 for _ in rendering.pages(sample))
            else:
                own = [counter.size(sample, arm) for arm in arms]
                shapes = [counter.spec.grid_shape(page.height, page.width) for page in counter.pages(sample)]
                largest, pages = max(largest, *(h * w for h, w in shapes)), pages + len(shapes)
                for arm, size in zip(arms, own, strict=True):
                    sizes[arm].append(size)
            good.append(sample)
        except (UserError, OSError) as error:
            failed.append(f"{sample.id}: {error}")
    whole, part = (sum(map(known_length, some)) for some in (everything, good))
    scale = whole / part if len(good) < len(everything) and part else 1.0
    return PromptCounts(sizes, pages * scale if good else None, scale, largest, failed)
