"""A grid of tokens through a compressor and back: what its stream takes, how far the restored features are off."""

import hashlib
import json
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.functional import cosine_similarity

from freqq.tokens import container
from freqq.tokens.base import TokenCompressor
from freqq.tokens.grid import check_grid, spread, whole
from freqq.transforms.bands import BANDS
from freqq.transforms.quantize import QuantizedGrid


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


def entropy_bits(symbols: ArrayLike) -> float:
    """Empirical entropy of integers in bits a symbol, as if they were drawn independently from one distribution.

    This is what an ideal entropy coder with these statistics, known to the decoder, would spend (Shannon 1948, section
    7). The streams that freqq writes are compressed with the standard library's coders and are a little longer; their
    sizes are reported beside it. 0 for no symbols at all.
    """
    values = np.asarray(symbols).ravel()
    if values.size == 0:
        return 0.0
    _, counts = np.unique(values, return_counts=True)
    share = counts / values.size
    return max(0.0, float(-(share * np.log2(share)).sum()))


BFLOAT16_BYTES = 2


@dataclass(frozen=True)
class Recoded:
    """A grid's stream, and a table row of measures."""

    stream: bytes
    row: dict[str, Any]


def method_params(method: TokenCompressor | None) -> str:
    """A method's parameters as JSON with sorted keys; ``{}`` for none."""
    return json.dumps(asdict(method) if method else {}, sort_keys=True)


def recode(grid: Tensor, method: TokenCompressor | None) -> Recoded:
    """Compress a grid [h, w, C], decode its stream and compare. No method stores it without loss.

    Errors are those of the whole grid, as far as it can be told from what is left of it (`freqq.tokens.grid.spread`).
    ``entropy_low`` and so on are bits a value (see `freqq.tokens.measures.band_entropy`), null without bands.
    """
    h, w, channels = grid.shape
    start = perf_counter()
    if method is None:
        check_grid(grid)
    stream = container.write_plain(whole(grid)) if method is None else method.encode(grid)
    compressed = perf_counter()
    stored = container.read(stream)
    done = perf_counter()
    content = stored.content
    entropy = band_entropy(content) if isinstance(content, QuantizedGrid) else dict.fromkeys(BANDS)
    found = fidelity(grid.cpu(), spread(stored.page, (h, w)))
    row = {
        "h": h,
        "w": w,
        "channels": channels,
        "tokens": h * w,
        "tokens_kept": len(stored.page.features),
        "params": method_params(method),
        "raw_bf16_bytes": grid.numel() * BFLOAT16_BYTES,
        "stream_bytes": len(stream),
        "stream_sha256": hashlib.sha256(stream).hexdigest(),
        **asdict(found),
        **{f"entropy_{band}": bits for band, bits in entropy.items()},
        "compress_ms": (compressed - start) * 1e3,
        "decode_ms": (done - compressed) * 1e3,
    }
    return Recoded(stream, row)
