"""One grid of tokens through a compressor and back, measured."""

import json
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

from torch import Tensor

from freqq.frequency.bands import BANDS
from freqq.frequency.quantize import restore_grid
from freqq.tokens import container
from freqq.tokens.measures import band_entropy, fidelity
from freqq.tokens.quantize import Quantize

BFLOAT16_BYTES = 2


@dataclass(frozen=True)
class Recoded:
    """A grid's stream, and a table row of measures."""

    stream: bytes
    row: dict[str, Any]


def recode(grid: Tensor, method: Quantize | None) -> Recoded:
    """Compress a grid [h, w, C], decode its stream and compare. No method stores it without loss.

    ``entropy_low`` and so on are bits a value (see `freqq.tokens.measures.band_entropy`), null without a method.
    """
    h, w, channels = grid.shape
    start = perf_counter()
    stream = container.write_plain(grid) if method is None else method.encode(grid)
    compressed = perf_counter()
    content, dtype = container.read(stream)
    restored = content if isinstance(content, Tensor) else restore_grid(content).to(dtype)
    done = perf_counter()
    entropy = dict.fromkeys(BANDS) if isinstance(content, Tensor) else band_entropy(content)
    found = fidelity(grid.cpu(), restored)
    row = {
        "h": h,
        "w": w,
        "channels": channels,
        "tokens": h * w,
        "params": json.dumps(asdict(method) if method else {}, sort_keys=True),
        "raw_bf16_bytes": grid.numel() * BFLOAT16_BYTES,
        "stream_bytes": len(stream),
        **asdict(found),
        **{f"entropy_{band}": bits for band, bits in entropy.items()},
        "compress_ms": (compressed - start) * 1e3,
        "decode_ms": (done - compressed) * 1e3,
    }
    return Recoded(stream, row)
