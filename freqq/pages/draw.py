"""Draw text by copying columns of glyphs from an atlas, thousands at a time."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from freqq.pages.atlas import BLANK, Atlas, atlas
from freqq.pages.page import Line, Page, Run
from freqq.pages.style import Style

Pixels = NDArray[np.uint8]
Whole = NDArray[np.int64]
Color = tuple[int, int, int]
Pens = Callable[[Sequence[Run], NDArray[np.int32]], tuple[Whole, Whole]]
Blend = Callable[[Pixels, Pixels], Pixels]

STRIP_BYTES = 1 << 23
"""Runs are drawn in batches of about this many bytes, so that many short ones need little more memory than a page."""
ROUNDS = 16
"""Glyphs that still overlap after this many rounds (combining marks on one letter) are drawn one by one."""


def clearness(runs: Sequence[Run], width: int, height: int, font: str, size: float, dpi: float = 72.0) -> Pixels:
    """The share of the background that stays visible under runs of text, drawn as poppler draws reportlab's PDFs.

    Parameters
    ----------
    runs : sequence of Run
        In px. Overlapping glyphs darken each other; ink outside the page is cut off.
        A character that the font lacks is drawn as the font's "missing" glyph.
    width, height : int
        Page size, px.
    font, size : str, float
        As for `Atlas`, but the size is in points (1/72 inch) at the resolution `dpi`.

    Returns
    -------
    uint8 array, [height, width]: 255 all, 0 none.

    Raises
    ------
    UserError
        As `Atlas`.
    """
    scale = dpi / 72
    glyphs = atlas(font, size * scale)

    def pens(some: Sequence[Run], slots: NDArray[np.int32]) -> tuple[Whole, Whole]:
        points = glyphs.thousandths[slots] * 0.001 * size
        at, start = np.zeros(len(slots)), 0
        for run in some:
            end = start + len(run.text)
            if run.word_space:
                points[start:end] += [run.word_space / scale * (char in " \xa0") for char in run.text]
            if run.text:
                np.add.accumulate(points[start : end - 1], out=at[start + 1 : end])
            start = end
        # In poppler's order: sum advances in points, then scale, then shift. A pen that ends on a quarter of a pixel
        # must be rounded to the same side.
        at = at * scale + np.repeat([run.x for run in some], [len(run.text) for run in some])
        whole = np.floor(at)
        # Just left of a whole pixel, the difference can be 1.0 in floating point.
        phases = np.minimum((at - whole) * glyphs.phases, glyphs.phases - 1)
        return whole.astype(np.int64), phases.astype(np.int64)

    return _cover(runs, (height, width), glyphs, pens, _multiply)


def tint(clear: Pixels, ink: Color, background: Color | Pixels) -> Pixels:
    """Put ink on a background: ``(clear * background + (255 - clear) * ink) // 255``, rounded as in Splash.

    Colours are 0 to 255; the background may also be an image, uint8 [height, width] or [height, width, 3]. The result
    is [height, width] for gray colours, otherwise [height, width, 3].
    """
    if isinstance(background, tuple) and (*ink, *background) == (0, 0, 0, 255, 255, 255):
        return clear
    under, over = np.asarray(background, np.uint16), np.asarray(ink, np.uint16)
    flat = under.ndim == 1
    if len(set(ink)) == 1 and (len(set(under.tolist())) == 1 if flat else under.ndim == 2):
        over, under = over[0], under[0] if flat else under
    elif under.ndim == 2:
        under = under[..., None]
    left = np.arange(256, dtype=np.uint16) if flat else clear.astype(np.uint16)
    left = left[..., None] if over.ndim else left
    mixed = left * under if not over.any() else left * under + (255 - left) * over  # at most 255 * 255
    levels = (mixed // 255).astype(np.uint8)
    return levels[clear] if flat else levels


def draw(lines: tuple[Line, ...], style: Style) -> Page:
    """Draw one page of a px-based style, black on white, with hinted glyphs centred vertically in their lines."""
    glyphs = atlas(style.font, style.font_size, hinted=True)

    def pens(some: Sequence[Run], slots: NDArray[np.int32]) -> tuple[Whole, Whole]:
        ends = np.cumsum([len(run.text) for run in some])
        moves = np.split(glyphs.advances[slots], ends[:-1])
        at = np.concatenate([np.cumsum([run.x, *by])[:-1] for run, by in zip(some, moves, strict=True)])
        # Round to quarters, then to whole pixels, as on the pages that the embedded model was trained on.
        whole = (np.rint(at * 4).astype(np.int64) + 2) // 4
        return whole, np.zeros_like(whole)

    drop = (style.line_height - glyphs.height) / 2
    runs = [Run(line.x, round(line.top + drop) + glyphs.ascent, line.text) for line in lines]
    return Page(_cover(runs, (style.height, style.width), glyphs, pens, np.minimum), lines, style)


def _multiply(a: Pixels, b: Pixels) -> Pixels:
    """The background that stays visible under two layers of ink, rounded down as in Splash on a painted page."""
    return (np.multiply(a, b, dtype=np.uint16) // 255).astype(np.uint8)


def _cover(runs: Sequence[Run], shape: tuple[int, int], glyphs: Atlas, pens: Pens, blend: Blend) -> Pixels:
    """Draw runs on a blank page of this shape; `pens` returns where their glyphs start, in whole px and phases."""
    height, width = shape
    page, painted = np.full(shape, BLANK, np.uint8), 0
    count = max(1, STRIP_BYTES // int(2 * width * (glyphs.size + 1)))
    for first in range(0, len(runs), count):
        some = runs[first : first + count]
        slots = glyphs.slots("".join([run.text for run in some]))
        whole, phases = pens(some, slots)
        line = np.repeat(np.arange(len(some)), [len(run.text) for run in some])
        strips = _strips(glyphs, slots, phases, whole, line, (len(some), width), blend)
        for run, strip in zip(some, strips, strict=True):
            top = int(run.baseline // 1) - glyphs.above
            upper, lower = max(top, 0), min(top + glyphs.columns.shape[1], height)
            if upper < lower:
                seen, new = strip[upper - top : lower - top], min(max(painted, upper), lower)
                # Blend only the rows that earlier runs may have painted.
                page[upper:new] = blend(page[upper:new], seen[: new - upper])
                page[new:lower] = seen[new - upper :]
                painted = max(painted, lower)
    return page


def _strips(
    glyphs: Atlas,
    slots: NDArray[np.int32],
    phases: Whole,
    whole: Whole,
    line: Whole,
    shape: tuple[int, int],
    blend: Blend,
) -> Pixels:
    """Each line's columns of pixels: uint8, [lines, height of the atlas, width]."""
    lines, width = shape
    starts, widths = glyphs.starts[slots, phases], glyphs.widths[slots, phases]
    left = whole + glyphs.lefts[slots, phases]
    cut = np.clip(-left, 0, widths)
    starts, left, widths = starts + cut, left + cut, widths - cut
    widths = np.clip(width - left, 0, widths)
    inked = np.flatnonzero(widths)
    starts, widths, left = starts[inked], widths[inked], (left + line * width)[inked]
    height = glyphs.columns.shape[1]
    item = np.dtype((np.void, height))
    strips = np.full((lines * width, height), BLANK, np.uint8)
    for number, some in enumerate(_rounds(left, left + widths)):
        ends = np.cumsum(widths[some])
        within = np.arange(ends[-1]) - np.repeat(ends - widths[some], widths[some])
        target = np.repeat(left[some], widths[some]) + within
        columns = glyphs.columns.take(np.repeat(starts[some], widths[some]) + within, axis=0)
        if number:
            columns = blend(strips.take(target, axis=0), columns)
        # Assign each column as one item: several times faster than rows of bytes in NumPy.
        strips.view(item)[target] = columns.view(item)
    return strips.reshape(lines, width, height).transpose(0, 2, 1)


def _rounds(left: Whole, right: Whole) -> Iterator[Whole]:
    """Indices of glyphs, in groups whose members' spans (`left` to before `right`) do not overlap."""
    waiting = np.arange(len(left))
    for _ in range(ROUNDS):
        if not len(waiting):
            return
        late = []
        # Adjacent glyphs often share a column; every second glyph hardly ever does.
        for half in (waiting[0::2], waiting[1::2]):
            reach = np.maximum.accumulate(right[half])
            free = np.append(True, left[half][1:] >= reach[:-1])[: len(half)]
            late.append(half[~free])
            if len(half):
                yield half[free]
        waiting = np.sort(np.concatenate(late))
    yield from waiting[:, None]
