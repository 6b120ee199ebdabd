"""Vector quantization of the tokens' DCT with a codebook of the model."""

import re
from dataclasses import dataclass

from torch import Tensor

from freqq.errors import UserError
from freqq.frequency.codebook_files import ID_BYTES
from freqq.frequency.token_codebook import RATES, TokenCodebook
from freqq.frequency.vectors import VectorGrid, quantize_vectors
from freqq.tokens.base import Quantizer
from freqq.tokens.codebooks import fitting_codebook, no_codebook, token_codebook, token_codebooks


@dataclass(frozen=True)
class VectorQuantization(Quantizer):
    """Name codewords for the DCT of a page's tokens, by radial band and group of decorrelated channels.

    What `freqq.tokens.quantize.Quantize` stores with every page (means, scales) and what it cannot use (that channels
    vary together) is the model's, not the page's, so a codebook has it once: see `freqq.frequency.token_codebook`.
    The number of tokens stays the same. Tokens that are not a grid, because some of its cells were dropped, are coded
    as one column; each then costs more, by 5 to 22 % if they were dropped at random, and 20 to 44 % if the quiet ones
    were.

    A grid only says how many channels it has, so what is checked is that a codebook has as many and that the tokens
    are correlated as its own are; a stream names its codebook by the digest of its file.

    The levels are squared errors for which the shipped codebook was trained: 0.002, 0.01, 0.3 and 1, in channels of
    unit variance. They were chosen on 200 samples of `mini` with 2 needles and seed 7 so that the score moves by
    nothing, less than .02, less than .1, and more than half of it; the differences, by BCa, were +.000 [-.010, +.011],
    -.004 [-.021, +.007], -.056 [-.086, -.031] and -.555 [-.584, -.522]. A page of the first 60 of them took 5,317,
    3,129, 734 and 286 bytes on average, and 38,549 in bfloat16.

    Most of the gain is the shared statistics, not the codewords: scalar quantization along the same axes, with tables
    as good as these, would take 6 % fewer bytes at the finest rate, 4 % and 1 % fewer at the next ones, and 4 % more at
    the coarsest. Nor does the DCT help on this model, whose neighbouring tokens have little in common: without it,
    scalar quantization would take 7 to 8 % less, and 3 % more at the coarsest rate.

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

    Measured
    --------
    Score on 100 samples of `mini` with each needle count, and its paired difference to no compression (.944, .893 and
    .743); tokens and stored bytes, of bfloat16, as fractions. By examples/sweep_tokens.sh --limit 100:

        level       tokens  stored  2 needles                   4 needles                   8 needles
        ultra_mild    1.00   0.140  .944  +.000 [+.000, +.000]  .884  -.009 [-.048, +.028]  .737  -.006 [-.029, +.012]
        mild          1.00   0.083  .951  +.007 [-.014, +.037]  .919  +.026 [-.012, +.069]  .730  -.013 [-.049, +.023]
        aggressive    1.00   0.020  .922  -.022 [-.073, +.030]  .818  -.075 [-.140, -.008]  .670  -.074 [-.125, -.024]
        extreme       1.00   0.008  .397  -.546 [-.592, -.491]  .382  -.511 [-.564, -.448]  .333  -.410 [-.474, -.340]
    """

    rate: int = 3
    codebook: str = ""

    LEVELS = {
        "ultra_mild": {"rate": 4},
        "mild": {"rate": 3},
        "aggressive": {"rate": 2},
        "extreme": {"rate": 1},
    }

    def __post_init__(self) -> None:
        if self.rate not in range(1, RATES + 1):
            raise UserError(f"rate {self.rate}: a codebook has the rates 1 (coarsest) to {RATES} (finest)")
        if not re.fullmatch(f"([0-9a-f]{{{2 * ID_BYTES}}})?", self.codebook):
            raise UserError(f"codebook {self.codebook!r}: give the {2 * ID_BYTES} hex digits of freqq codebook list")
        if self.codebook:
            token_codebook(bytes.fromhex(self.codebook))  # is it there?

    @property
    def resources(self) -> tuple[str, ...]:
        """The codebooks that there are."""
        return (self.codebook,) if self.codebook else tuple(sorted(book.id.hex() for book in token_codebooks()))

    def check_channels(self, channels: int) -> None:
        """Refuse tokens for which there is no codebook, or another was asked for."""
        if self.codebook:
            self._check_channels(token_codebook(bytes.fromhex(self.codebook)), channels)
        elif all(book.channels != channels for book in token_codebooks()):
            raise no_codebook(channels)

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
        found = token_codebook(bytes.fromhex(self.codebook)) if self.codebook else fitting_codebook(grid)
        self._check_channels(found, grid.shape[2])
        return found

    def _check_channels(self, found: TokenCodebook, channels: int) -> None:
        if found.channels != channels:
            raise UserError(f"codebook {self.codebook} is for {found.channels} channels: the tokens have {channels}")
