"""Vector quantization of a token grid's DCT with a model's codebook.

The grid less the codebook's means, in its deviations, is transformed by the 2-D DCT; every coefficient, a vector of
channels, is turned to the codebook's axes and cut into groups, and each group becomes the name of a codeword. Which one
is a matter of distance and of what its name costs (entropy-constrained vector quantization: Chou, Lookabaugh, Gray,
IEEE Transactions on Acoustics, Speech and Signal Processing 37(1), 1989). The DC, the page's mean, is quantized
uniformly on each axis: there are too few pages to learn words for it, and it must never be far off.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from freqq.errors import UserError
from freqq.frequency.bands import band_order
from freqq.frequency.dct import dct2, idct2
from freqq.frequency.quantize import silent
from freqq.frequency.token_codebook import Group, TokenCodebook, nearest_words

LARGEST_DC = 1 << 30


@dataclass(frozen=True)
class VectorGrid:
    """A grid as the names of codewords.

    Parameters
    ----------
    shape : (h, w)
    book : TokenCodebook
    rate : 1 (coarsest) to `freqq.frequency.token_codebook.RATES`
    dc : int32 [P'], steps of the DC on the first axes
    symbols : for each band uint8 [n, groups], in raster order of the coefficients
    """

    shape: tuple[int, int]
    book: TokenCodebook
    rate: int
    dc: Tensor
    symbols: tuple[Tensor, Tensor, Tensor]


def coefficients(grid: Tensor, book: TokenCodebook) -> Tensor:
    """The DCT of a grid [h, w, C] along the axes of a codebook: float32 [h·w, P]."""
    means, deviations, rotation = (t.to(grid.device) for t in book.tensors)
    return dct2((grid.float().contiguous() - means) / deviations).flatten(0, 1) @ rotation.T


def quantize_vectors(grid: Tensor, book: TokenCodebook, rate: int) -> VectorGrid:
    """A grid [h, w, C] as names of codewords.

    Raises
    ------
    UserError
        If a value is too large.
    """
    h, w, _ = grid.shape
    made_for = book.rates[rate - 1]
    values, bands = by_band(grid, book)
    steps = made_for.dc_steps.to(grid.device)
    dc = (values[: len(steps)] / steps).round()
    if not bool(all(torch.isfinite(v).all() for v in (values, *bands)) and (dc.abs() < LARGEST_DC).all()):
        raise UserError("the token grid holds NaN, infinity or values far beyond its codebook's: nothing was coded")
    low, mid, high = (_names(part, groups) for part, groups in zip(bands, made_for.bands, strict=True))
    return VectorGrid((h, w), book, rate, dc.int(), (low, mid, high))


def by_band(grid: Tensor, book: TokenCodebook) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What is quantized of a grid [h, w, C]: the DC [P], and for each band the other coefficients [n, P].

    Rounding noise is 0: it must not become the cheapest word, which need not be 0, so that a flat page stays flat.
    """
    values = coefficients(grid, book)
    order, counts = band_order(*grid.shape[:2], *book.edges)
    noise = silent(values.abs().amax(1), values[0].abs().amax())
    rows = values.masked_fill(noise[:, None], 0).index_select(0, torch.tensor(order[1:], device=grid.device))
    return values[0], rows.split(counts)


def _names(values: Tensor, groups: tuple[Group, ...]) -> Tensor:
    names = torch.empty(len(groups), len(values), dtype=torch.uint8, device=values.device)
    for group, out in zip(groups, names, strict=True):
        words, biases = group.words.to(values.device), group.biases.to(values.device)
        out.copy_(nearest_words(values[:, group.axes], words, biases))
    return names.T.masked_fill((values == 0).all(1, keepdim=True), 0)


def restore_vectors(coded: VectorGrid) -> Tensor:
    """The grid float32 [h, w, C] that the names stand for. The same on the same machine, bit for bit."""
    (h, w), device = coded.shape, coded.dc.device
    means, deviations, rotation = (t.to(device) for t in coded.book.tensors)
    rate = coded.book.rates[coded.rate - 1]
    order, counts = band_order(h, w, *coded.book.edges)
    values = torch.zeros(h * w, len(rotation), device=device)
    values[0, : len(coded.dc)] = coded.dc * rate.dc_steps.to(device)
    for part, names, groups in zip(values[1:].split(counts), coded.symbols, rate.bands, strict=True):
        for group, column in zip(groups, names.T, strict=True):
            part[:, group.axes] = group.words.to(device)[column.long()]
    raster = torch.empty_like(values)
    raster[torch.tensor(order, device=device)] = values
    return idct2((raster @ rotation).view(h, w, -1)) * deviations + means
