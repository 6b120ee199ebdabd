"""How many bits integer symbols need."""

import numpy as np
from numpy.typing import ArrayLike


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
