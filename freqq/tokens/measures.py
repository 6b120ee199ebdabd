"""How far restored features are from the original ones, and what their symbols would cost."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from freqq.frequency.bands import BANDS
from freqq.frequency.entropy import entropy_bits
from freqq.frequency.quantize import QuantizedGrid


@dataclass(frozen=True)
class Fidelity:
    """Restored features against the original ones.

    A few channels of vision tokens are so large that they alone decide a plain error or cosine, so both are also given
    whitened: each channel less its mean and divided by its standard deviation over the original grid. Channels that do
    not vary have no whitened value and are left out.

    Parameters
    ----------
    error, whitened_error : norm of the difference over the norm of the original; 0 is perfect
    cosine, whitened_cosine : mean over tokens of the cosine of the two vectors; 1 is perfect
    """

    error: float
    whitened_error: float
    cosine: float
    whitened_cosine: float


def fidelity(original: Tensor, restored: Tensor) -> Fidelity:
    """Compare two grids [h, w, C]."""
    channels = original.shape[-1]
    x = original.detach().reshape(-1, channels).double()
    y = restored.detach().reshape(-1, channels).double()
    mean, deviation = x.mean(0), x.std(0, correction=0)
    varies = deviation > 1e-6 * x.abs().amax(0)
    x_white = ((x - mean) / deviation)[:, varies]
    y_white = ((y - mean) / deviation)[:, varies]
    return Fidelity(_error(x, y), _error(x_white, y_white), _cosine(x, y), _cosine(x_white, y_white))


def _error(x: Tensor, y: Tensor) -> float:
    difference = float(torch.linalg.vector_norm(x - y))
    return difference / float(torch.linalg.vector_norm(x)) if difference else 0.0


def _cosine(x: Tensor, y: Tensor) -> float:
    if torch.equal(x, y):
        return 1.0  # also of tokens that are all zero, which have no direction
    return float(cosine_similarity(x, y, dim=1).mean())


def band_entropy(coded: QuantizedGrid) -> dict[str, float]:
    """Entropy of each band's symbols, all channels together, in bits a value; 0 for a band that is dropped or empty."""
    return {band: entropy_bits(symbols.cpu().numpy()) for band, symbols in zip(BANDS, coded.symbols, strict=True)}
