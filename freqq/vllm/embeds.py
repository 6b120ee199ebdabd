"""Pages that another machine saw, as a request carries them: what they have to be like, checked before the engine.

``image_embeds`` [n, C] and ``image_grid_thw`` [pages, 3] are as in vLLM's Qwen2-VL, the grid that of the page as the
tower saw it. Tokens that are not all cells of a page have two more: ``image_positions`` [n, 2], their rows and columns
on the page's grid of merged tokens, fractions allowed, and ``image_tokens`` [pages], how many each page has.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

EMBEDS, GRID, CELLS, COUNT = "image_embeds", "image_grid_thw", "image_positions", "image_tokens"

MOST_SIDE = 8192
"""Merged tokens along a side of a page."""

FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
INTEGERS = (torch.int64, torch.int32)
DTYPES = {EMBEDS: FLOATS, GRID: INTEGERS, CELLS: (*FLOATS, *INTEGERS), COUNT: INTEGERS}


def check_embeds(
    data: Mapping[str, object], merge: int, channels: int, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """The pages of a prompt, embeddings in the model's format and positions as [n, ..] in order.

    Parameters
    ----------
    data : what stands in a request
    merge : patches a side of a merged token
    channels : those of the model
    dtype : the model's number format

    Raises
    ------
    ValueError
        If anything does not fit together, in one line.
    """
    found = {name: _tensor(name, data[name]) for name in (EMBEDS, GRID, CELLS, COUNT) if name in data}
    if GRID not in found:
        raise ValueError(f"{EMBEDS} need {GRID}, the page's grid in patches")
    tokens = found[EMBEDS].flatten(0, -2)
    if tokens.shape[1] != channels:
        raise ValueError(f"{EMBEDS} have {tokens.shape[1]} channels, and the model has {channels}")
    tokens = tokens.to(dtype)  # in which numbers of a wider format may be infinite
    if not bool(torch.isfinite(tokens).all()):
        raise ValueError(f"{EMBEDS} hold NaN or infinity, or numbers too large for {str(dtype)[6:]}")
    grids = found[GRID].reshape(-1, found[GRID].shape[-1])
    if grids.shape[1] != 3:
        raise ValueError(f"{GRID} is three whole numbers a page: 1, and height and width in patches")
    for t, h, w in grids.tolist():
        if t != 1 or not all(0 < n <= merge * MOST_SIDE and n % merge == 0 for n in (h, w)):
            raise ValueError(f"{GRID} {[t, h, w]} is not a page grid: give 1 and two multiples of {merge}")
    shapes = (grids[:, 1:] // merge).tolist()
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
    sizes = counts.tolist()  # whose sum a tensor of int64 may overflow
    if len(sizes) != len(shapes) or min(sizes) < 1 or sum(sizes) != tokens:
        raise ValueError(f"{COUNT} {sizes[:8]} are not those of {len(shapes)} pages with {tokens} {EMBEDS}")
    if cells.shape != (tokens, 2):
        raise ValueError(f"{CELLS} are a row and a column for each of {tokens} {EMBEDS}, not {list(cells.shape)}")
    for page, (h, w) in zip(cells.split(sizes), shapes, strict=True):
        inside = (page >= 0) & (page <= torch.tensor([h - 1, w - 1]))  # also refuses NaN
        if not bool(inside.all()):
            row, column = page[~inside.all(1)][0].tolist()
            raise ValueError(f"{CELLS}: ({row:g}, {column:g}) is outside a page of {h} x {w} tokens")
    return {CELLS: cells, COUNT: counts}


def _tensor(name: str, value: object) -> Tensor:
    """One tensor, or several that differ at most in their first dimensions, as one."""
    parts: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value]
    least = 1 if name in (GRID, COUNT) else 2
    if not parts or not all(isinstance(part, Tensor) and part.ndim >= least and part.numel() for part in parts):
        raise ValueError(f"{name} is not a tensor of at least {least} dimensions, or is empty")
    for part in parts:
        if part.dtype not in DTYPES[name] or part.layout != torch.strided or part.is_meta:
            names = ", ".join(str(dtype)[6:] for dtype in DTYPES[name])
            raise ValueError(f"{name} are of {str(part.dtype)[6:]}: send a plain tensor of {names}")
    if len({part.shape[-1] for part in parts}) > 1:
        raise ValueError(f"{name} of several pages end in dimensions of {sorted({part.shape[-1] for part in parts})}")
    one: Tensor = parts[0]
    return one if len(parts) == 1 else torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])
