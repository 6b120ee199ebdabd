"""What a model is given of a sample, and what is measured on the way; sizes are counted beside the model."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, TypeAlias

from torch import Tensor

from freqq.data.sample import Sample
from freqq.errors import UserError
from freqq.image.base import ImageCodec
from freqq.pages.page import Page, hash_of
from freqq.runs import sizes
from freqq.runs.background import Background, Total
from freqq.runs.batches import Todo
from freqq.runs.rendering import Rendering
from freqq.tokens.base import TokenCompressor
from freqq.tokens.container import Unwritten
from freqq.tokens.grid import CompressedGrid

Grids: TypeAlias = Sequence[Tensor | CompressedGrid]


@dataclass(frozen=True)
class Recoded:
    """A page behind an image codec."""

    page: Page
    size: int
    encode_s: float
    decode_s: float


@dataclass(frozen=True)
class Rendered:
    """A sample's pages and what was measured on them; names of columns are those of `Row`, values may be a `Total`.

    ``recoded`` are the pages behind the image codecs of arms, by the arm's name and level.
    """

    sample: Sample
    pages: list[Page]
    columns: dict[str, Any]
    recoded: Mapping[tuple[str, str], Sequence[Future[Recoded]]] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """What the language model is given of a sample by one arm, and what was measured on it."""

    rendered: Rendered
    grids: Grids
    columns: dict[str, Any]


@dataclass(frozen=True)
class Prepared:
    """Samples that are read together, by which arms, and their pages, which are being made."""

    samples: Sequence[Sample]
    todo: Todo
    rendered: Sequence[Future[Rendered]]

    def cancel(self) -> None:
        """Make no more of them."""
        for sample in self.rendered:
            if not sample.cancel() and sample.done() and sample.exception() is None:
                for pages in sample.result().recoded.values():
                    for page in pages:
                        page.cancel()


def render_sample(sample: Sample, rendering: Rendering) -> Rendered:
    """Render one sample, or read its images."""
    start = perf_counter()
    pages = list(rendering.pages(sample))
    took = perf_counter() - start
    columns = {
        "density": sizes.density(pages),
        "page_hash": hash_of(pages),
        "pages": len(pages),
        "page_pixels": sum(p.pixels.shape[0] * p.pixels.shape[1] for p in pages),
        "render_ms": took * 1e3,
    }
    return Rendered(sample, pages, columns)


def with_image_bytes(rendered: Rendered, background: Background) -> Rendered:
    """With the size of the pages as they are, which is being counted."""
    size = Total([background.submit(sizes.png_bytes, page) for page in rendered.pages])
    return replace(rendered, columns=rendered.columns | {"image_bytes_raw": size, "image_bytes": size})


def recode(codec: ImageCodec, page: Page) -> Recoded:
    """Code a page and decode it again."""
    start = perf_counter()
    stream = codec.encode(page)
    encoded = perf_counter()
    decoded = codec.decode(stream)
    return Recoded(decoded, len(stream), encoded - start, perf_counter() - encoded)


def recoded(rendered: Rendered, arm: tuple[str, str]) -> Rendered:
    """A sample with its pages behind an image codec, once all of them are there."""
    found = [page.result() for page in rendered.recoded[arm]]
    columns = {
        "image_bytes": sum(page.size for page in found),
        "encode_ms": sum(page.encode_s for page in found) * 1e3,
        "decode_ms": sum(page.decode_s for page in found) * 1e3,
    }
    return Rendered(rendered.sample, [page.page for page in found], rendered.columns | columns)


def compressed(
    method: TokenCompressor, view: View, counted: Sequence[int], background: Background, clock: Callable[[], float]
) -> View:
    """What a method leaves of the tokens of a sample's pages.

    Parameters
    ----------
    counted : which pages' streams are written, beside the model, to see how large they are
    clock : the time, in seconds
    """
    start = clock()
    grids = [full_grid(grid) for grid in view.grids]
    if not method.codes:
        made = [method.compress(grid) for grid in grids]
        size, pages = sum(map(sizes.stored_bytes, made)), len(made)
        return _compressed(view, made, clock() - start, size, pages)
    streams: dict[int, Unwritten] = {}
    made = []
    for i, grid in enumerate(grids):
        page, stream = method.begin(grid) if i in counted else (method.reconstruct(grid), None)
        made.append(page)
        if stream is not None:
            streams[i] = stream
    took = clock() - start
    if not streams:
        return _compressed(view, made, took, None, 0)
    share = sum(len(made[i].features) for i in streams), sum(len(page.features) for page in made)
    total = Total([background.behind(_length, stream) for stream in streams.values()], share)
    return _compressed(view, made, took, total, len(streams))


def _compressed(view: View, made: Grids, took: float, size: int | Total | None, pages: int) -> View:
    columns = {"compress_ms": took * 1e3, "token_bytes": size, "token_bytes_pages": pages}
    return View(view.rendered, made, view.columns | columns)


def _length(stream: Unwritten) -> int:
    return len(stream.write())


def full_grid(grid: Tensor | CompressedGrid) -> Tensor:
    """A grid [h, w, C] that nothing was cut from yet."""
    if isinstance(grid, Tensor):
        return grid
    if grid.kept is not None or grid.small is not None:
        raise UserError("the stored tokens of this page were already cut, so no method can start from them")
    return grid.arranged


def totals(*outcomes: object) -> list[Total]:
    """What is still being counted of outcomes."""
    found = [one.columns for one in outcomes if isinstance(one, Rendered | View)]
    found += [one.rendered.columns for one in outcomes if isinstance(one, View)]
    return [value for columns in found for value in columns.values() if isinstance(value, Total)]


def counted(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns with their totals; waits for them."""
    return {name: value.value() if isinstance(value, Total) else value for name, value in columns.items()}
