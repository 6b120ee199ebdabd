"""One grid of tokens through a compressor and back, measured."""

import hashlib
import json
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

from torch import Tensor

from freqq.frequency.bands import BANDS
from freqq.frequency.quantize import QuantizedGrid
from freqq.tokens import container
from freqq.tokens.base import TokenCompressor
from freqq.tokens.grid import check_grid, spread, whole
from freqq.tokens.measures import band_entropy, fidelity

BFLOAT16_BYTES = 2


@dataclass(frozen=True)
class Recoded:
    """A grid's stream, and a table row of measures."""

    stream: bytes
    row: dict[str, Any]


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
        "params": json.dumps(asdict(method) if method else {}, sort_keys=True),
        "raw_bf16_bytes": grid.numel() * BFLOAT16_BYTES,
        "stream_bytes": len(stream),
        "stream_sha256": hashlib.sha256(stream).hexdigest(),
        **asdict(found),
        **{f"entropy_{band}": bits for band, bits in entropy.items()},
        "compress_ms": (compressed - start) * 1e3,
        "decode_ms": (done - compressed) * 1e3,
    }
    return Recoded(stream, row)
