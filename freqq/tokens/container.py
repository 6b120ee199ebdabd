"""The stream of a page's tokens (.fqt).

After the frame of `freqq.coding.stream`:

    1 byte    coding of the features: see `freqq.tokens.codings`
    1 byte    number format of the features: 0 float32, 1 float16, 2 bfloat16
    1 byte    where they belong: 0 all cells of the grid, 1 some of its cells, 2 a smaller grid that is spread over it
    2 bytes   h       2 bytes   w       4 bytes   C
    some cells: one bit a cell in raster order, the first in the highest bit, 1 if it is kept; the last byte is filled
                with 0
    a smaller grid: 2 bytes h', 2 bytes w'
    ...       the features as their coding has them: a grid [h, w, C] or [h', w', C], or one column [k, 1, C]
"""

import struct
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from freqq.coding.stream import StreamReader, StreamWriter
from freqq.errors import UserError
from freqq.tokens.codings import CODINGS, Coded, code_of, restore
from freqq.tokens.grid import CompressedGrid

__all__ = ["Coded", "Stored", "Unwritten", "decode", "read", "restore", "write_coded", "write_plain"]

MAGIC, VERSION = b"FQT ", 4
ALL, SOME, SMALLER = 0, 1, 2
HEADER = struct.Struct("<BBBHHI")
SMALL = struct.Struct("<HH")
FORMATS = (torch.float32, torch.float16, torch.bfloat16)

MAX_SIDE, MAX_CELLS, MAX_VALUES = 2048, 1 << 14, 1 << 28
"""Most cells a side, cells and values of a grid. The largest page that freqq reads has 7,500 tokens of a GLM-4V and
12,288 of a Qwen2.5-VL; the widest ones have 16,384 channels."""


@dataclass(frozen=True)
class Stored:
    """What a stream holds.

    Parameters
    ----------
    content : the features as they are coded
    page : where they belong; its features are the restored ones
    """

    content: Coded
    page: CompressedGrid


@dataclass(frozen=True)
class Unwritten:
    """A stream that is still to be written, which any thread may do.

    Parameters
    ----------
    content : the features as they are coded, on the CPU
    page : where they belong, without its features
    """

    content: Coded
    page: CompressedGrid

    @classmethod
    def of(cls, coded: Coded, page: CompressedGrid) -> "Unwritten":
        """What `write_coded` needs: nothing is copied that is on the CPU, and nothing else stays in memory."""
        features, kept = page.features, page.kept
        nothing = features.new_empty((0, features.shape[1]), device="cpu")
        return cls(_on_cpu(coded), replace(page, features=nothing, kept=None if kept is None else kept.cpu()))

    def write(self) -> bytes:
        """The stream; see `write_coded` for errors."""
        return write_coded(self.content, self.page)


def _on_cpu(coded: Coded) -> Coded:
    """A tensor, or a dataclass with tensors and tuples of them, on the CPU."""
    if isinstance(coded, Tensor):
        return coded.cpu()
    there = {field.name: getattr(coded, field.name) for field in fields(coded)}
    return replace(coded, **{name: _moved(value) for name, value in there.items()})


def _moved(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_moved, value))
    return value.cpu() if isinstance(value, Tensor) else value


def is_stream(path: Path) -> bool:
    """Whether a file begins as a stream of any version does."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def write_plain(page: CompressedGrid) -> bytes:
    """A page without any further loss, in its own number format."""
    return write_coded(page.arranged, page)


def write_coded(coded: Coded, page: CompressedGrid) -> bytes:
    """A page whose features, arranged as a grid, were coded.

    Raises
    ------
    UserError
        If the page is too large, or its features are of a number format that has no place in a stream.
    """
    h, w = page.shape
    channels, dtype = page.features.shape[1], page.features.dtype
    if not _fits(h, w, channels):
        raise UserError(f"a grid of {h} x {w} tokens of {channels} channels is too large to be stored: split the page")
    if dtype not in FORMATS:
        raise UserError(
            f"features of type {str(dtype).removeprefix('torch.')} cannot be stored: use float32 or bfloat16"
        )
    where = SOME if page.kept is not None else SMALLER if page.small is not None else ALL
    writer = StreamWriter(MAGIC, VERSION)
    code = code_of(coded)
    writer.header(HEADER, code, FORMATS.index(dtype), where, h, w, channels)
    if page.kept is not None:
        cells = np.zeros(h * w, np.bool_)
        cells[page.kept.cpu().numpy()] = True
        writer.array(np.packbits(cells))
    elif page.small is not None:
        writer.header(SMALL, *page.small)
    CODINGS[code].write(writer, coded)
    return writer.finish()


def read(data: bytes, tokens: int = MAX_CELLS) -> Stored:
    """What a stream holds; the features are on the CPU.

    Parameters
    ----------
    data : bytes
    tokens : int
        How many its page has before compression. A few bytes can stand for a large grid whose coefficients are all
        dropped, so a stream of a larger one is refused before its features are restored.

    Raises
    ------
    CorruptStream
        If it is anything but a whole, undamaged stream of this version, or its grid has more cells than `tokens`.
    """
    reader = StreamReader(data, MAGIC, VERSION)
    code, number_format, where, h, w, channels = reader.header(HEADER)
    if number_format >= len(FORMATS):
        raise reader.corrupt(f"unknown number format {number_format}")
    if not _fits(h, w, channels):
        raise reader.corrupt(f"a grid of {h} x {w} tokens of {channels} channels is out of bounds")
    if h * w > tokens:
        raise reader.corrupt(f"it has a grid of {h} x {w}, but its page has {tokens} tokens")
    if code not in CODINGS:
        raise reader.corrupt(f"unknown coding {code}")
    kept, small, shape = None, None, (h, w)
    if where == SOME:
        kept = _read_cells(reader, h * w)
        shape = (len(kept), 1)
    elif where == SMALLER:
        small = shape = reader.header(SMALL)
        if not (1 <= small[0] <= h and 1 <= small[1] <= w):
            raise reader.corrupt(f"a grid of {small[0]} x {small[1]} is not smaller than {h} x {w}")
    elif where != ALL:
        raise reader.corrupt(f"unknown kind of place {where}")
    dtype = FORMATS[number_format]
    content = CODINGS[code].read(reader, shape, channels, dtype)
    reader.end()
    features = restore(content, dtype).reshape(-1, channels)
    return Stored(content, CompressedGrid(features, (h, w), kept, small))


def decode(data: bytes, tokens: int = MAX_CELLS) -> CompressedGrid:
    """A page's tokens from their stream, without the original, on the CPU; the stream is their payload.

    The features are those that `TokenCompressor.compress` gave, bit for bit on the same CPU; on another device they
    differ by its rounding. Parameters and errors as of `read`.
    """
    return replace(read(data, tokens).page, payload=data)


def _fits(h: int, w: int, channels: int) -> bool:
    """Whether a grid can be stored."""
    return 1 <= h <= MAX_SIDE and 1 <= w <= MAX_SIDE and h * w <= MAX_CELLS and 1 <= channels <= MAX_VALUES // (h * w)


def _read_cells(reader: StreamReader, count: int) -> Tensor:
    """Raster indices of the kept cells, at least one."""
    bits = np.unpackbits(reader.array(-(-count // 8), "u1"))
    kept = np.flatnonzero(bits)
    if not len(kept):
        raise reader.corrupt("it keeps no token")
    if kept[-1] >= count:
        raise reader.corrupt("it keeps cells beyond its grid")
    return torch.from_numpy(kept)
