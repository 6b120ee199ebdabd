"""Pages that another machine saw, as a request carries them: what they have to be like, checked before the engine.

``image_embeds`` [n, C] and ``image_grid_thw`` [pages, 3] are as in vLLM's Qwen2-VL, the grid that of the page as the
tower saw it. Tokens that are not all cells of a page have two more: ``image_positions`` [n, 2], their rows and columns
on the page's grid of merged tokens, fractions allowed, and ``image_tokens`` [pages], how many each page has.
"""

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

EMBEDS, GRID, CELLS, COUNT = "image_embeds", "image_grid_thw", "image_positions", "image_tokens"

MOST_SIDE = 8192
"""Merged tokens along a side of a page."""


def check_embeds(
    data: Mapping[str, object], merge: int, channels: int, room: int, one_row: bool = False
) -> dict[str, Tensor]:
    """The pages of a prompt, embeddings and positions as [n, ..] in order.

    Parameters
    ----------
    data : what stands in a request
    merge : patches a side of a merged token
    channels : those of the model
    room : how many more positions pages may take than they have tokens
    one_row : whether the cells of a page are in line, as `freqq.vllm.positions.in_line` says

    Raises
    ------
    ValueError
        If anything does not fit together, in one line.
    """
    found = {name: _tensor(name, data[name]) for name in (EMBEDS, GRID, CELLS, COUNT) if name in data}
    if GRID not in found:
        raise ValueError(f"{EMBEDS} need {GRID}, the page's grid in patches")
    tokens = found[EMBEDS].flatten(0, -2)
    if not tokens.is_floating_point() or tokens.shape[1] != channels:
        raise ValueError(f"{EMBEDS} have {tokens.shape[1]} channels, and the model has {channels}")
    if not bool(torch.isfinite(tokens).all()):
        raise ValueError(f"{EMBEDS} hold NaN or infinity")
    grids = found[GRID].reshape(-1, found[GRID].shape[-1])
    if grids.is_floating_point() or grids.shape[1] != 3:
        raise ValueError(f"{GRID} is three whole numbers a page: 1, and height and width in patches")
    for t, h, w in grids.tolist():
        if t != 1 or not all(0 < n <= merge * MOST_SIDE and n % merge == 0 for n in (h, w)):
            raise ValueError(f"{GRID} {[t, h, w]} is not a page grid: give 1 and two multiples of {merge}")
    shapes = (grids[:, 1:] // merge).tolist()
    # Text behind a page starts max(h, w) after the page's start, and a few tokens may claim many large pages; an engine
    # dies of positions beyond its table of rotary embeddings.
    taken = sum(prod(shape) if one_row else max(shape) for shape in shapes)
    if (beyond := taken - len(tokens)) > room:
        raise ValueError(
            f"pages of {GRID} take {beyond:,} positions more than there are {EMBEDS}, and there is room for {room:,}"
        )
    checked = {EMBEDS: tokens, GRID: grids}
    if (CELLS in found) != (COUNT in found):
        raise ValueError(f"{CELLS} and {COUNT} belong together: send both or neither")
    if CELLS not in found:
        cells = sum(h * w for h, w in shapes)
        if len(tokens) != cells:
            raise ValueError(f"{len(tokens)} {EMBEDS} for {cells} cells of {GRID}: fewer need {CELLS} and {COUNT}")
        return checked
    return checked | _check_cells(found[CELLS], found[COUNT], shapes, len(tokens))


def _check_cells(cells: Tensor, counts: Tensor, shapes: list[list[int]], tokens: int) -> dict[str, Tensor]:
    cells, counts = cells.reshape(-1, cells.shape[-1]), counts.flatten()
    if counts.is_floating_point() or len(counts) != len(shapes) or counts.min() < 1 or counts.sum() != tokens:
        raise ValueError(f"{COUNT} {counts.tolist()[:8]} are not those of {len(shapes)} pages with {tokens} {EMBEDS}")
    if cells.shape != (tokens, 2):
        raise ValueError(f"{CELLS} are a row and a column for each of {tokens} {EMBEDS}, not {list(cells.shape)}")
    for page, (h, w) in zip(cells.split(counts.tolist()), shapes, strict=True):
        inside = (page >= 0) & (page <= torch.tensor([h - 1, w - 1]))  # also refuses NaN
        if not bool(inside.all()):
            row, column = page[~inside.all(1)][0].tolist()
            raise ValueError(f"{CELLS}: ({row:g}, {column:g}) is outside a page of {h} x {w} tokens")
    return {CELLS: cells, COUNT: counts}


def _tensor(name: str, value: object) -> Tensor:
    if isinstance(value, (list, tuple)) and value and all(isinstance(part, Tensor) for part in value):
        value = torch.cat([part.reshape(-1, part.shape[-1]) for part in value])
    if not isinstance(value, Tensor) or value.ndim < 1 or value.numel() == 0:
        raise ValueError(f"{name} is not a tensor, or is empty")
    return value
