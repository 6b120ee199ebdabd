"""The sequence that the language model reads: placeholders for pages, positions, padding. Pure functions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from freqq.errors import FreqqError
from freqq.tokens.base import CompressedGrid

TEXT, IMAGE = 0, 1
"""Values of ``mm_token_type_ids`` in transformers (2 is video)."""


@dataclass(frozen=True)
class Prompt:
    """One sample's whole sequence, and which of its columns the model shall really read.

    Parameters
    ----------
    input_ids : int64 [n]
        Each page stands as h·w copies of the image token, also where the page was pruned.
    mm_token_type_ids : int64 [n]
        1 on placeholders, 0 elsewhere. Required: ``generate`` takes its absence for "text only" and goes on with
        one-dimensional positions, so the answer changes without a word.
    shapes : (h, w) for each page, in merged tokens
    kept : bool [n]
        False on the placeholders of dropped tokens.

    Raises
    ------
    FreqqError
        If the token types are missing, or if they do not mark one run of h·w placeholders a page.
    """

    input_ids: Tensor
    mm_token_type_ids: Tensor
    shapes: tuple[tuple[int, int], ...]
    kept: Tensor

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
    """What the model reads: ids and mask int64 [B, L], positions int64 [4, B, L] (text row, then three MRoPE rows)."""

    input_ids: Tensor
    attention_mask: Tensor
    position_ids: Tensor


def as_compressed(grid: Tensor | CompressedGrid) -> CompressedGrid:
    """A page in the one form that the sequence is built from; a plain grid [h, w, C] keeps all its tokens."""
    if not isinstance(grid, CompressedGrid):
        h, w, channels = grid.shape
        return CompressedGrid(grid.reshape(h * w, channels), shape=(h, w))
    h, w = grid.shape
    expected = h * w if grid.kept is None else len(grid.kept)
    if len(grid.features) != expected:
        raise FreqqError(f"a page of {h} x {w} tokens has {len(grid.features)} features for {expected} kept cells")
    if grid.kept is not None and expected:
        ascending = bool((grid.kept.diff() > 0).all())
        if not ascending or grid.kept[0] < 0 or grid.kept[-1] >= h * w:
            raise FreqqError(f"the kept cells of a page must ascend within 0 .. {h * w - 1}")
    return grid


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
    columns = [_page_columns(next(following)) if i == image_token_id else torch.ones(1, dtype=torch.bool) for i in ids]
    lengths = torch.tensor([len(c) for c in columns])
    input_ids = torch.tensor(list(ids), dtype=torch.int64).repeat_interleave(lengths)
    types = torch.where(input_ids == image_token_id, IMAGE, TEXT)
    return Prompt(input_ids, types, tuple(page.shape for page in pages), torch.cat(columns))


def _page_columns(page: CompressedGrid) -> Tensor:
    """Which of a page's h·w placeholders stay, bool [h·w]."""
    h, w = page.shape
    if page.kept is None:
        return torch.ones(h * w, dtype=torch.bool)
    columns = torch.zeros(h * w, dtype=torch.bool)
    columns[page.kept.cpu()] = True
    return columns


def positions(prompt: Prompt, rope_index: Callable[..., tuple[Tensor, Tensor]], merge: int) -> Tensor:
    """Positions int64 [4, k] of the k kept columns.

    The three MRoPE rows are those that the columns have in the FULL sequence, so a pruned page keeps its layout and the
    text behind it its distance. The text row is rebuilt as 0 .. k-1: without a cache, transformers takes gaps in it for
    the borders of packed sequences and cuts attention there.

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
    rows = full[:, 0, prompt.kept]
    return torch.cat([torch.arange(rows.shape[1])[None], rows])


def left_pad(ids: Sequence[Tensor], position_ids: Sequence[Tensor], pad_id: int) -> Batch:
    """Stack sequences of different lengths, their ends aligned, so that all of them go on at the same column.

    Parameters
    ----------
    ids : int64 [k_i] each
    position_ids : int64 [4, k_i] each; padding gets position 0, as in ``generate``
    """
    longest = max(len(sequence) for sequence in ids)
    input_ids = torch.full((len(ids), longest), pad_id, dtype=torch.int64)
    attention_mask = torch.zeros_like(input_ids)
    padded = torch.zeros(4, len(ids), longest, dtype=torch.int64)
    for row, (sequence, where) in enumerate(zip(ids, position_ids, strict=True)):
        start = longest - len(sequence)
        input_ids[row, start:] = sequence
        attention_mask[row, start:] = 1
        padded[:, row, start:] = where
    return Batch(input_ids, attention_mask, padded)


def until_end(tokens: Sequence[int], end_ids: frozenset[int]) -> tuple[list[int], bool]:
    """Cut generated ids after the first end token; also tell whether there was one."""
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
