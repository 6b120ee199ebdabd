"""Vector quantization of the tokens' DCT with a codebook of the model."""

from dataclasses import dataclass

from torch import Tensor

from freqq.errors import UserError
from freqq.frequency.token_codebook import RATES
from freqq.frequency.vectors import VectorGrid, quantize_vectors
from freqq.tokens.base import Quantizer
from freqq.tokens.codebooks import fitting_codebook, token_codebooks


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
    nothing, less than .02, less than .1, and more than half of it; the differences were +.000 [-.010, +.011],
    -.004 [-.021, +.007], -.056 [-.086, -.031] and -.555 [-.584, -.522]. A page of the first 60 of them took 5,317,
    3,129, 734 and 286 bytes on average, and 38,549 in bfloat16.

    Most of the gain is the shared statistics, not the codewords: scalar quantization along the same axes, with tables
    as good as these, would take 6 % fewer bytes at the finest rate, 4 % and 1 % fewer at the next ones, and 4 % more at
    the coarsest. Nor does the DCT help on this model, whose neighbouring tokens have little in common: without it,
    scalar quantization would take 7 to 8 % less, and 3 % more at the coarsest rate.

    Parameters
    ----------
    rate : int
        Which of the codebook's rates, 1 (coarsest) to 4 (finest).
    """

    rate: int = 3

    LEVELS = {
        "ultra_mild": {"rate": 4},
        "mild": {"rate": 3},
        "aggressive": {"rate": 2},
        "extreme": {"rate": 1},
    }

    def __post_init__(self) -> None:
        if self.rate not in range(1, RATES + 1):
            raise UserError(f"rate {self.rate}: a codebook has the rates 1 (coarsest) to {RATES} (finest)")

    @property
    def resources(self) -> tuple[str, ...]:
        """The codebooks that there are."""
        return tuple(sorted(book.id.hex() for book in token_codebooks()))

    def code(self, grid: Tensor) -> VectorGrid:
        """A grid [h, w, C] as names of codewords.

        Raises
        ------
        UserError
            If no codebook fits it.
        """
        return quantize_vectors(grid.detach(), fitting_codebook(grid.detach()), self.rate)
