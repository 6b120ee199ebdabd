"""Vector quantization of a token grid's DCT with a model's codebook.

The grid less the codebook's means, in its deviations, is transformed by the 2-D DCT; every coefficient, a vector of
channels, is turned to the codebook's axes and cut into groups, and each group becomes the name of a codeword. Which one
is a matter of distance and of what its name costs (entropy-constrained vector quantization: Chou, Lookabaugh, Gray,
IEEE Transactions on Acoustics, Speech and Signal Processing 37(1), 1989). The DC, the page's mean, is quantized
uniformly on each axis: there are too few pages to learn words for it, and it must never be far off.

Its stream is coding 4 of `freqq.tokens.codings`:

    8 bytes   which codebook: the start of its file's SHA-256
    1 byte    rate
    4 bytes   n, how many 16-bit words      4 bytes   m, how many steps of the DC are too large for a symbol
    4 m bytes those steps, int32
    4 bytes   for each row of 256 symbols: the integer that its decoder starts from
    2 n bytes the words

The symbols are those of the DC, axis by axis (a step s of -127 .. 127 as s + 128, any other one as 0), then for each
band and each of its coefficients in raster order the words' names, group by group.
"""

import re
import struct
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from freqq.coding import rans
from freqq.coding.codebook_files import ID_BYTES
from freqq.coding.stream import StreamReader, StreamWriter
from freqq.errors import UserError
from freqq.tokens.base import Quantizer
from freqq.tokens.codebooks import codebooks_for, fitting_codebook, no_codebook, token_codebook, token_codebooks
from freqq.tokens.codings import CODINGS, Coding
from freqq.tokens.vq_codebook import RATES, Group, Rate, TokenCodebook, nearest_words
from freqq.transforms.bands import band_order
from freqq.transforms.dct import dct2, idct2
from freqq.transforms.quantize import silent

LARGEST_DC = 1 << 30


@dataclass(frozen=True)
class VectorGrid:
    """A grid as the names of codewords.

    Parameters
    ----------
    shape : (h, w)
    book : TokenCodebook
    rate : 1 (coarsest) to `freqq.tokens.vq_codebook.RATES`
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
    means, deviations, rotation = book.on(grid.device).tensors
    return dct2((grid.float().contiguous() - means) / deviations).flatten(0, 1) @ rotation.T


def quantize_vectors(grid: Tensor, book: TokenCodebook, rate: int) -> VectorGrid:
    """A grid [h, w, C] as names of codewords.

    Raises
    ------
    UserError
        If a value is too large.
    """
    h, w, _ = grid.shape
    made_for = book.on(grid.device).rates[rate - 1]
    values, bands = by_band(grid, book)
    steps = made_for.dc_steps
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
        out.copy_(nearest_words(values[:, group.axes], group.words, group.biases))
    return names.T.masked_fill((values == 0).all(1, keepdim=True), 0)


def restore_vectors(coded: VectorGrid) -> Tensor:
    """The grid float32 [h, w, C] that the names stand for. The same on the same machine, bit for bit."""
    (h, w), device = coded.shape, coded.dc.device
    book = coded.book.on(device)
    means, deviations, rotation = book.tensors
    rate = book.rates[coded.rate - 1]
    order, counts = band_order(h, w, *coded.book.edges)
    values = torch.zeros(h * w, len(rotation), device=device)
    values[0, : len(coded.dc)] = coded.dc * rate.dc_steps
    for part, names, groups in zip(values[1:].split(counts), coded.symbols, rate.bands, strict=True):
        for group, column in zip(groups, names.T, strict=True):
            part[:, group.axes] = group.words[column.long()]
    raster = torch.empty_like(values)
    raster[torch.tensor(order, device=device)] = values
    return idct2((raster @ rotation).view(h, w, -1)) * deviations + means


VECTOR_HEADER = struct.Struct(f"<{ID_BYTES}sBII")
ROW = 256
"""Symbols of a row. A row costs four bytes; all rows are coded in parallel, so longer ones take more time."""

MIDDLE = 128


def _write(writer: StreamWriter, coded: VectorGrid) -> None:
    rate = coded.book.rates[coded.rate - 1]
    dc = coded.dc.cpu().numpy().astype(np.int64)
    inside = np.abs(dc) < MIDDLE
    names = [part.cpu().numpy().ravel() for part in coded.symbols]
    symbols = np.concatenate([np.where(inside, dc + MIDDLE, 0), *names]).astype(np.int64)
    states = rate.states(tuple(map(len, coded.symbols)))
    entries = rate.source.starts[_in_rows(states, rate)] + _in_rows(symbols)
    words, integers = rans.encode(rate.source, entries)
    writer.header(VECTOR_HEADER, coded.book.id, coded.rate, len(words), int((~inside).sum()))
    writer.array(dc[~inside].astype(np.int32))
    writer.array(integers)
    writer.array(words)


def _read(reader: StreamReader, shape: tuple[int, int], channels: int, dtype: torch.dtype) -> VectorGrid:
    name, number, words, escapes = reader.header(VECTOR_HEADER)
    book = token_codebook(name)
    if book.channels != channels or not 1 <= number <= RATES:
        raise reader.corrupt(f"rate {number} of {channels} channels is not in its codebook")
    rate = book.rates[number - 1]
    _, counts = band_order(*shape, *book.edges)
    large = reader.array(escapes, "<i4").astype(np.int64)
    groups = [len(band) for band in rate.bands]
    total = len(rate.dc_states) + sum(n * g for n, g in zip(counts, groups, strict=True))
    integers = reader.array(-(-total // ROW), "<u4")
    coded = reader.array(words, "<u2")
    states = _in_rows(rate.states(counts), rate)
    decoded = rans.decode(rate.source, coded, integers, ROW, np.zeros(0, np.int64), states)
    if decoded is None:
        raise reader.corrupt("its symbols do not decode")
    symbols = decoded.ravel()[:total]
    dc = symbols[: len(rate.dc_states)] - MIDDLE
    if np.count_nonzero(dc == -MIDDLE) != escapes or (np.abs(large) >= LARGEST_DC).any():
        raise reader.corrupt("its DC does not decode")
    dc[dc == -MIDDLE] = large
    ends = np.cumsum([len(dc), *(n * g for n, g in zip(counts, groups, strict=True))])
    names = [
        torch.from_numpy(symbols[first:end].astype(np.uint8).reshape(n, g))
        for first, end, n, g in zip(ends[:-1], ends[1:], counts, groups, strict=True)
    ]
    return VectorGrid(shape, book, number, torch.from_numpy(dc.astype(np.int32)), (names[0], names[1], names[2]))


def _in_rows(values: NDArray[np.int64], rate: Rate | None = None) -> NDArray[np.int64]:
    """Values [n] as rows of `ROW`, filled up with 0, or with the state of `rate` that costs nothing."""
    fill = rate.source.states - 1 if rate else 0
    return np.concatenate([values, np.full(-len(values) % ROW, fill)]).reshape(-1, ROW)


CODINGS[4] = Coding(VectorGrid, _write, _read, restore_vectors)


@dataclass(frozen=True)
class VectorQuantization(Quantizer):
    """Quantize the DCT of a page's tokens to codewords, by radial band and group of decorrelated channels.

    What `freqq.tokens.quantize.Quantize` stores with every page (means, scales) and what it cannot use (that channels
    vary together) is the model's, not the page's, so a codebook has it once: see `freqq.tokens.vq_codebook`.
    The number of tokens stays the same. Tokens that are not a grid, because some of its cells were dropped, are coded
    as one column; each then costs more.

    A grid only says how many channels it has, so what is checked is that a codebook has as many and that the tokens
    are correlated as its own are; a stream names its codebook by the digest of its file.

    The levels are squared errors for which the shipped codebooks were trained: 0.002, 0.01, 0.3 and 1, in channels of
    unit variance. They were chosen on 200 samples of `mini` so that the score moves by nothing, less than .02, less
    than .1, and more than half of it. Most of the gain is the shared statistics, not the codewords: scalar quantization
    along the same axes takes about as many bytes. Nor does the DCT help on the embedded model, whose neighbouring
    tokens have little in common.

    Formula
    -------
    Y = DCT of R · (x - m) / σ, with the codebook's means m, deviations σ and principal axes R; for each band and group
    of axes the word w of least ‖Y - w‖² + 2 ln 2 · D · bits(w), D the squared error that the rate was trained for,
    bits(w) what its name costs in ANS.

    Parameters
    ----------
    rate : int
        Which of the codebook's rates, 1 (coarsest) to 4 (finest).
    codebook : str
        The 16 hex digits that ``freqq codebook list`` shows; by default that which fits the tokens.

    Source
    ------
    Product quantization: Jegou, Douze, Schmid, IEEE TPAMI 33(1), 2011. The rotation is the Karhunen-Loeve transform.
    """

    rate: int = 3
    codebook: str = ""

    LEVELS = {"ultra_mild": {"rate": 4}, "mild": {"rate": 3}, "aggressive": {"rate": 2}, "extreme": {"rate": 1}}

    def __post_init__(self) -> None:
        if self.rate not in range(1, RATES + 1):
            raise UserError(f"rate {self.rate}: a codebook has the rates 1 (coarsest) to {RATES} (finest)")
        if not re.fullmatch(f"([0-9a-f]{{{2 * ID_BYTES}}})?", self.codebook):
            raise UserError(f"codebook {self.codebook!r}: give the {2 * ID_BYTES} hex digits of freqq codebook list")
        if self.codebook:
            token_codebook(bytes.fromhex(self.codebook))  # is it there?

    @property
    def resources(self) -> tuple[str, ...]:
        """All codebooks."""
        return (self.codebook,) if self.codebook else tuple(sorted(book.id.hex() for book in token_codebooks()))

    def code(self, grid: Tensor) -> VectorGrid:
        """A grid [h, w, C] as names of codewords.

        Raises
        ------
        UserError
            If no codebook fits it, or the one that is asked for is not there or has other channels.
        """
        return quantize_vectors(grid.detach(), self.book(grid.detach()), self.rate)

    def book(self, grid: Tensor) -> TokenCodebook:
        """The codebook that a grid [h, w, C] is coded with; errors as of `code`."""
        return self._named(grid.shape[2]) if self.codebook else fitting_codebook(grid)

    def check_model(self, channels: int, embedded: bool) -> None:
        """Refuse a model for which there is no codebook, or not the one that is asked for."""
        if self.codebook:
            self._named(channels)
        elif not any(codebooks_for(channels, embedded)):
            raise no_codebook(channels)

    def _named(self, channels: int) -> TokenCodebook:
        found = token_codebook(bytes.fromhex(self.codebook))
        if found.channels != channels:
            raise UserError(f"codebook {self.codebook} is for {found.channels} channels: the tokens have {channels}")
        return found
