"""Where a page's tokens are: which positions are known before the page is seen, and how vLLM's buffers hold fractions.

Text behind a page starts max(h, w) after the page's start, whatever was dropped of it. So all positions of a prompt are
known before any page is seen, but those of cells that a method chooses by what is on the page. Nothing moves when they
become known, and chunks of a prompt, cached prefixes and preempted requests need no care.
"""

from math import prod
from typing import Any

import torch
from torch import Tensor

from freqq.tokens.base import Combination, Cutter, SmallerGrid, TokenCompressor
from freqq.tokens.grid import cell_centres

WHOLE_BITS, FRACTION_BITS = 17, 14
"""Together 31: one of vLLM's two model runners holds positions as int32."""

MOST = 1 << WHOLE_BITS
"""Positions of a prompt are below this."""

ONE = 1 << FRACTION_BITS


TABLE = 4
"""vLLM's tables of rotary embeddings have so many times the positions that a model was made for."""


def most_positions(model_config: Any) -> int:
    """How many positions a prompt and its answer may have, given vLLM's ``ModelConfig``."""
    return min(MOST, TABLE * int(model_config.hf_text_config.max_position_embeddings))


def check_positions(tokens: int, beyond: int, most: int) -> None:
    """Refuse a prompt whose pages leave no position for an answer: an engine dies of those beyond its table.

    Text behind a page starts max(h, w) after the page's start, and a few tokens may span many large pages.

    Parameters
    ----------
    tokens : of the prompt
    beyond : how many positions more than tokens its pages take
    most : how many positions there are

    Raises
    ------
    ValueError
        vLLM's word for what a request is refused for.
    """
    if beyond > 0 and tokens + beyond >= most:
        raise ValueError(
            f"pages take {beyond:,} positions more than they have tokens, and a prompt of {tokens:,} tokens has room "
            f"for {max(0, most - tokens - 1):,}: send fewer pages, or compress them less"
        )


def encode(positions: Tensor) -> Tensor:
    """Positions as integers, the fraction in the high bits: a whole position is itself. float64 -> int64, any shape."""
    whole = positions.floor()
    fraction = ((positions - whole) * ONE).round()
    carried = fraction == ONE
    return (whole + carried).long() | (fraction.masked_fill(carried, 0).long() << WHOLE_BITS)


def whole_part(encoded: Tensor) -> Tensor:
    """The whole part of encoded positions."""
    return encoded & (MOST - 1)


def fraction_part(encoded: Tensor) -> Tensor:
    """The fraction of encoded positions, float32."""
    return (encoded >> WHOLE_BITS).float() / ONE


def token_count(method: TokenCompressor | None, h: int, w: int) -> int:
    """How many tokens a method leaves of a page of h x w."""
    cutter = _cutter(method)
    return h * w if cutter is None else prod(cutter.fit(h, w))


def layout(method: TokenCompressor | None, h: int, w: int) -> tuple[tuple[int, int], Tensor | None]:
    """The grid that a page's positions span, and rows and columns float64 [2, k] of its tokens on it.

    None for cells that the method chooses when it has seen the page.
    """
    cutter = _cutter(method)
    small = (h, w) if cutter is None else cutter.fit(h, w)
    if small == (h, w):
        return (h, w), cell_centres((h, w), (h, w)).double()
    if not isinstance(cutter, SmallerGrid):
        return (h, w), None
    if cutter.positions == "compact":
        return small, cell_centres(small, small).double()
    return (h, w), cell_centres((h, w), small).double()


def in_line(shape: tuple[int, int], cells: Tensor | None) -> tuple[tuple[int, int], Tensor | None]:
    """What `layout` says of a page, for a model with one row of positions: cells count on from row to row.

    The row of time is then not read, and the two others are the same.
    """
    h, w = shape
    return (h * w, 1), None if cells is None else (cells[0] * w + cells[1]).expand(2, -1)


def _cutter(method: TokenCompressor | None) -> Cutter | None:
    part = method.parts()[0] if isinstance(method, Combination) else method
    return part if isinstance(part, Cutter) else None


def pages(parts: list[tuple[int, int, tuple[int, int], Tensor | None]], length: int) -> tuple[Tensor, int]:
    """Positions of a prompt.

    Parameters
    ----------
    parts : for each page, in order, where its tokens start in the prompt, how many there are, the grid that they span,
        and rows and columns float64 [2, k] on it, if they are known
    length : of the prompt

    Returns
    -------
    positions : int64 [3, length], encoded: time, row and column. Cells that are not known have the page's start.
    delta : what is added to the place of a token behind the prompt to get its position
    """
    columns: list[Tensor] = []
    done = start = 0
    for offset, count, shape, cells in parts:
        columns.append((torch.arange(offset - done) + start).expand(3, -1))
        start += offset - done
        known = torch.zeros(2, count, dtype=torch.float64) if cells is None else cells
        columns.append(torch.cat([torch.full((1, count), start), encode(start + known)]))
        start, done = start + max(shape), offset + count
    columns.append((torch.arange(length - done) + start).expand(3, -1))
    return torch.cat(columns, 1), start - done
