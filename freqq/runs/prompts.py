"""How long the prompts of a run get, counted without its model: pages are drawn, and nothing is seen."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from freqq.data.sample import Sample
from freqq.errors import UserError
from freqq.glm.spec import ModelSpec
from freqq.image.base import ImageCodec
from freqq.runs.plan import Arm
from freqq.runs.rendering import Rendering
from freqq.tokens.base import TokenCompressor
from freqq.tokens.store import TokenStore


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
    store : TokenStore or None
        The streams that are read in place of running the vision tower.
    """

    spec: ModelSpec
    rendering: Rendering
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
            self._pages[sample.id] = [
                PageSize(*page.pixels.shape[:2], page.sha256 if self.store is not None else None)
                for page in self.rendering.pages(sample)
            ]
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
            prompt_tokens=self.spec.prompt_tokens(sample.question, len(pages), left),
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
