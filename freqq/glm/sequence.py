"""The sequence that the language model reads: placeholders for pages, positions, padding. Pure functions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from freqq.errors import FreqqError
from freqq.tokens.grid import CompressedGrid, cell_centres, whole

TEXT, IMAGE = 0, 1
"""Values of ``mm_token_type_ids`` in transformers (2 is video)."""


@dataclass(frozen=True)
class Prompt:
    """One sample's whole sequence, and which of its columns the model reads.

    Parameters
    ----------
    input_ids : int64 [n]
        Each page stands as h·w copies of the image token, also where the page was pruned.
    mm_token_type_ids : int64 [n]
        1 on placeholders, 0 elsewhere. Required: ``generate`` takes its absence for "text only" and goes on with
        one-dimensional positions, so the answer changes silently.
    shapes : (h, w) for each page, in merged tokens
    kept : bool [n]
        False on the placeholders of dropped tokens.
    smaller : for each page (h', w') if a smaller grid is spread over it, else None
        Its tokens take the first h'·w' of the page's placeholders, but not their positions.

    Raises
    ------
    FreqqError
        If the token types are missing, or if they do not mark one run of h·w placeholders a page.
    """

    input_ids: Tensor
    mm_token_type_ids: Tensor
    shapes: tuple[tuple[int, int], ...]
    kept: Tensor
    smaller: tuple[tuple[int, int] | None, ...]

    def __post_init__(self) -> None:
        types = self.mm_token_type_ids
        if not isinstance(types, Tensor) or types.shape != self.input_ids.shape:
            raise FreqqError("mm_token_type_ids must mark every input id: without it pages lose their 2-D positions")
        values, lengths = torch.unique_consecutive(types, return_counts=True)
        runs = lengths[values == IMAGE].tolist()
        if runs != [h * w for h, w in self.shapes]:
            raise FreqqError(f"the sequence has runs of {runs} page tokens, but its pages are {list(self.shapes)}")

    @property
    def vision_tokens(self) -> int:
        """How many page tokens the model reads."""
        return int((self.kept & (self.mm_token_type_ids == IMAGE)).sum())

    def __len__(self) -> int:
        return int(self.kept.sum())


@dataclass(frozen=True)
class Batch:
    """What the model reads: ids and mask int64 [B, L]; positions [4, B, L] (text, then three MRoPE rows) or [B, L]."""

    input_ids: Tensor
    attention_mask: Tensor
    position_ids: Tensor


def as_compressed(grid: Tensor | CompressedGrid) -> CompressedGrid:
    """A page in the one form that the sequence is built from; a plain grid [h, w, C] keeps all its tokens.

    Raises
    ------
    FreqqError
        If the features are not as many as the cells that they are said to stand for.
    """
    if not isinstance(grid, CompressedGrid):
        if grid.ndim != 3:
            raise FreqqError(f"a page of tokens is a grid [h, w, C], not of the shape {list(grid.shape)}")
        return whole(grid)
    h, w = grid.shape
    if grid.kept is not None:
        _check_kept(grid.kept, h, w)
    if grid.small is not None and (grid.kept is not None or not (1 <= grid.small[0] <= h and 1 <= grid.small[1] <= w)):
        raise FreqqError(f"a page of {h} x {w} tokens cannot be read as one of {grid.small[0]} x {grid.small[1]}")
    rows, columns = grid.small or grid.shape
    expected = rows * columns if grid.kept is None else len(grid.kept)
    if len(grid.features) != expected:
        raise FreqqError(f"a page of {h} x {w} tokens has {len(grid.features)} features for {expected} kept cells")
    return grid


def _check_kept(kept: Tensor, h: int, w: int) -> None:
    ascending = bool((kept.diff() > 0).all())
    if not ascending or (len(kept) and (kept[0] < 0 or kept[-1] >= h * w)):
        raise FreqqError(f"the kept cells of a page must ascend within 0 .. {h * w - 1}")


def expand(ids: Sequence[int], pages: Sequence[CompressedGrid], image_token_id: int) -> Prompt:
    """Replace each image token by its page's h·w placeholders.

    Parameters
    ----------
    ids : token ids of a chat, one image token a page
    pages : the pages in order
    """
    places = list(ids).count(image_token_id)
    if places != len(pages):
        raise FreqqError(f"the chat template made {places} image places for {len(pages)} pages")
    following = iter(pages)
    written = torch.tensor(list(ids), dtype=torch.int64)
    lengths, columns, start = torch.ones_like(written), [], 0
    for place in (written == image_token_id).nonzero().flatten().tolist():
        columns += [torch.ones(place - start, dtype=torch.bool), _page_columns(next(following))]
        lengths[place], start = len(columns[-1]), place + 1
    columns.append(torch.ones(len(written) - start, dtype=torch.bool))
    input_ids = written.repeat_interleave(lengths)
    types = torch.where(input_ids == image_token_id, IMAGE, TEXT)
    shapes, smaller = tuple(page.shape for page in pages), tuple(page.small for page in pages)
    return Prompt(input_ids, types, shapes, torch.cat(columns), smaller)


def _page_columns(page: CompressedGrid) -> Tensor:
    """Which of a page's h·w placeholders stay, bool [h·w]."""
    h, w = page.shape
    columns = torch.zeros(h * w, dtype=torch.bool)
    columns[: len(page.features) if page.kept is None else 0] = True
    if page.kept is not None:
        columns[page.kept.cpu()] = True
    return columns


def positions(prompt: Prompt, rope_index: Callable[..., tuple[Tensor, Tensor]], merge: int) -> Tensor:
    """Positions [4, k] of the k kept columns: int64, or float32 if a smaller grid is spread over a page.

    The three MRoPE rows are those that the columns have in the FULL sequence, so a pruned page keeps its layout and the
    text behind it its distance. The tokens of a smaller grid lie at the centres of the areas that they stand for, most
    of them between the positions of whole tokens; rotary embeddings are computed from fractions as well. The text row
    is rebuilt as 0 .. k-1: without a cache, transformers takes gaps in it for the borders of packed sequences and cuts
    attention there.

    Parameters
    ----------
    rope_index : the model's own ``get_rope_index``
    merge : the vision tower's spatial merge size, patches a side of a merged token
    """
    shapes = torch.tensor([(1, h * merge, w * merge) for h, w in prompt.shapes], dtype=torch.int64).reshape(-1, 3)
    full, _ = rope_index(
        input_ids=prompt.input_ids[None],
        mm_token_type_ids=prompt.mm_token_type_ids[None],
        image_grid_thw=shapes,
    )
    rows = full[:, 0]
    if any(prompt.smaller):
        rows = rows.float()
        for own, start, cells, _ in _spread(prompt):
            # The first row of an image's positions is where the page starts.
            rows[1:, own] = rows[0, start] + cells
    rows = rows[:, prompt.kept]
    return torch.cat([torch.arange(rows.shape[1])[None], rows])


def line_positions(prompt: Prompt) -> Tensor:
    """Positions [k] of the k kept columns where there is one row: those that they have in the whole prompt.

    int64, or float32 if a smaller grid is spread over a page: each of its tokens then has the mean of the positions
    that it stands for.
    """
    where = torch.arange(len(prompt.input_ids))
    if any(prompt.smaller):
        where = where.float()
        for own, start, (down, across), width in _spread(prompt):
            where[own] = start + down * width + across
    return where[prompt.kept]


def _spread(prompt: Prompt) -> Iterator[tuple[Tensor, int, Tensor, int]]:
    """Each page over which a smaller grid is spread: the columns of the prompt that its tokens take, the first of them,
    their places [2, k] in rows and columns of the page, and the page's width in tokens."""
    columns = torch.nonzero(prompt.mm_token_type_ids == IMAGE).flatten()
    pages = columns.split([h * w for h, w in prompt.shapes])
    for page, shape, small in zip(pages, prompt.shapes, prompt.smaller, strict=True):
        if small is not None:
            yield page[: small[0] * small[1]], int(page[0]), cell_centres(shape, small), shape[1]


def left_pad(ids: Sequence[Tensor], position_ids: Sequence[Tensor], pad_id: int) -> Batch:
    """Stack sequences of different lengths, their ends aligned, so that all of them go on at the same column.

    Parameters
    ----------
    ids : int64 [k_i] each
    position_ids : [k_i] or [rows, k_i] each, float if one is; padding gets position 0, as in ``generate``
    """
    longest = max(len(sequence) for sequence in ids)
    input_ids = torch.full((len(ids), longest), pad_id, dtype=torch.int64)
    attention_mask = torch.zeros_like(input_ids)
    dtype = torch.float32 if any(where.is_floating_point() for where in position_ids) else torch.int64
    padded = torch.zeros(*position_ids[0].shape[:-1], len(ids), longest, dtype=dtype)
    for row, (sequence, where) in enumerate(zip(ids, position_ids, strict=True)):
        start = longest - len(sequence)
        input_ids[row, start:] = sequence
        attention_mask[row, start:] = 1
        padded[..., row, start:] = where
    return Batch(input_ids, attention_mask, padded)


def until_end(tokens: Sequence[int], end_ids: frozenset[int]) -> tuple[list[int], bool]:
    """Cut generated ids after the first end token; and whether there was one."""
    for index, token in enumerate(tokens):
        if token in end_ids:
            return list(tokens[: index + 1]), True
    return list(tokens), False


def packs(sizes: Sequence[int], limit: int) -> Iterator[slice]:
    """Split a row of items into runs whose sizes sum to at most `limit`; an item over the limit stands alone."""
    start, total = 0, 0
    for index, size in enumerate(sizes):
        if index > start and total + size > limit:
            yield slice(start, index)
            start, total = index, 0
        total += size
    if start < len(sizes):
        yield slice(start, len(sizes))
