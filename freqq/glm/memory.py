"""Facts from the headers of a model's weights, without loading them: their size, and a digest of the vision tower."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch

from freqq.errors import FreqqError

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
MOST_HEADER_BYTES = 100_000_000
"""Of one file; safetensors itself allows no more."""

PIECE_BYTES = 1 << 24

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
QUANTIZED_BYTES = {"int8": 1.0, "nf4": 0.5 + 4 / 64}
"""Of a quantized weight: bitsandbytes stores a float32 scale for a row, and for 64 numbers of nf4."""


def weight_bytes(folder: Path, dtype: str, quantization: str | None = None) -> int:
    """How large the weights of a model folder are in a number format, from the headers of its safetensors files.

    Raises
    ------
    ValueError, OSError
        If a header is damaged.
    """
    full = BYTES[dtype]
    packed = full if quantization is None else QUANTIZED_BYTES[quantization]
    tensors = (tensor for file in _files(folder) for tensor in _tensors(folder / file))
    return round(sum(prod(t.shape) * (packed if _is_linear(t.name, t.shape) else full) for t in tensors))


def tower_digest(folder: Path) -> str:
    """A digest of a model's vision tower, merger included: towers with the same one make the same tokens of a page.

    Raises
    ------
    ValueError, OSError
        If a header is damaged.
    """
    total = hashlib.sha256()
    tensors = [(t, folder / file) for file in _files(folder) for t in _tensors(folder / file) if ".visual." in t.name]
    for tensor, file in sorted(tensors, key=lambda pair: pair[0].name):
        if not 0 <= tensor.start <= tensor.end <= file.stat().st_size:
            raise ValueError(f"{file.name} is not a whole safetensors file")
        total.update(f"{tensor.name} {tensor.shape} {tensor.dtype}\n".encode())
        with file.open("rb") as stream:
            stream.seek(tensor.start)
            for at in range(tensor.start, tensor.end, PIECE_BYTES):
                total.update(stream.read(min(PIECE_BYTES, tensor.end - at)))
    return total.hexdigest()


def _is_linear(name: str, shape: Sequence[int]) -> bool:
    """Whether a weight is one of the language model's linear layers, which are all that is quantized."""
    return ".layers." in name and len(shape) == 2


def _files(folder: Path) -> Sequence[str]:
    if (folder / INDEX).is_file():
        return sorted(set(json.loads((folder / INDEX).read_text())["weight_map"].values()))
    return [SINGLE] if (folder / SINGLE).is_file() else []


@dataclass(frozen=True)
class _Tensor:
    """A tensor as its file's header has it, and where in the file it begins and ends."""

    name: str
    shape: list[int]
    dtype: str
    start: int
    end: int


def _tensors(file: Path) -> list[_Tensor]:
    """The tensors of a file."""
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        if size > min(MOST_HEADER_BYTES, file.stat().st_size):
            raise ValueError(f"{file.name} is not a whole safetensors file")
        header = json.loads(stream.read(size))
    return [
        _Tensor(name, entry["shape"], entry["dtype"], *(8 + size + at for at in entry["data_offsets"]))
        for name, entry in header.items()
        if name != "__metadata__"
    ]


def memories(device: str, spread: bool) -> list[int]:
    """Bytes of each memory that takes a part of the model: the GPUs', or the machine's."""
    if device == "cpu" and not (spread and torch.cuda.is_available()):
        return [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    indices = range(torch.cuda.device_count()) if spread else [torch.device(device).index or 0]
    return [torch.cuda.get_device_properties(i).total_memory for i in indices]


def check_fits(name: str, needed: int, form: str, available: Sequence[int], way_out: str) -> None:
    """Refuse a model whose weights alone are more than the memories hold.

    Parameters
    ----------
    needed : int
        Bytes of all replicas that these memories have to take.
    form : str
        What the weights are stored as.
    available : sequence of int
        Bytes of each memory.

    Raises
    ------
    FreqqError
        As in: GLM-4.5V needs 212 GB in bfloat16; 4 x 40 GB hold 160.
    """
    if needed > sum(available):
        each = f"{len(available)} x {_gigabytes(available[0])} GB hold {_gigabytes(sum(available))}"
        holds = each if len(available) > 1 else f"{_gigabytes(available[0])} GB are there"
        raise FreqqError(f"{name} needs {_gigabytes(needed)} GB in {form}; {holds}: {way_out}")


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.0f}" if size >= 10e9 else f"{size / 1e9:.2g}"
