"""Integers by pcodec: entropy coding in bands, each with statistics of its own.

pcodec (M. Loncaric, N. Jeppesen, B. Zinberg, "Pcodec: better compression for numerical sequences", arXiv:2502.06112)
finds bins of numbers that occur alike often and codes the bins by tabled asymmetric numeral systems (J. Duda,
arXiv:1311.2540), four numbers at a time. It knows no context, so numbers that follow
different statistics have to be separated beforehand: that is what bands are for.

Bytes are those of pcodec's wrapped format: its header, then for each band, in pieces of at most `PIECE` numbers, the
metadata of a chunk and its one page. How many numbers there are is not stored.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pcodec import ChunkConfig, DeltaSpec, ModeSpec, PagingSpec
from pcodec.wrapped import FileCompressor, FileDecompressor

LEVEL = 8
"""pcodec's usual one. Lower ones are hardly faster for so few distinct numbers, and up to a tenth larger."""

PIECE = 1 << 20
"""Numbers that are coded at a time, so that a large page needs little memory besides its own."""


def encode(bands: Iterable[NDArray[np.int16]]) -> bytes:
    """Bands of numbers, int16 [n] each, n at least 1."""
    file = FileCompressor()
    parts = [file.write_header()]
    for piece in (band[part] for band in bands for part in _pieces(len(band))):
        config = ChunkConfig(
            compression_level=LEVEL,
            mode_spec=ModeSpec.classic(),
            delta_spec=DeltaSpec.no_op(),
            paging_spec=PagingSpec.exact_page_sizes([len(piece)]),
        )
        chunk = file.chunk_compressor(piece, config)
        parts += [chunk.write_meta(), chunk.write_page(0)]
    return b"".join(parts)


def decode(data: bytes, counts: Sequence[int]) -> Iterator[NDArray[np.int16]]:
    """The bands, given how many numbers each holds.

    Raises
    ------
    ValueError
        If the bytes do not end with so many numbers. (A few more or less can end with the same byte: a stream's
        checksum is what tells.)
    """
    try:
        file, at = FileDecompressor.new(data)
        for count in counts:
            band = np.empty(count, np.int16)
            for part in _pieces(count):
                piece = band[part]
                chunk, used = file.chunk_decompressor(data[at:], "i16")
                at += used
                progress, used = chunk.read_page_into(data[at:], len(piece), piece)
                at += used
                if not progress.finished or progress.n_processed != len(piece):
                    raise ValueError("it holds fewer numbers")
            yield band
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    if at != len(data):
        raise ValueError("it holds more numbers")


def _pieces(count: int) -> Iterator[slice]:
    return (slice(first, min(first + PIECE, count)) for first in range(0, count, PIECE))
