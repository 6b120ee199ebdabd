"""Tensors as text: base64 of the file that ``torch.save`` makes, which is what vLLM takes. Read without unpickling.

Such a file is a ZIP archive of a tensor's bytes and of a pickle that says its type and shape. vLLM gives the pickle to
``torch.load(weights_only=True)``, a restricted unpickler but still one, and broken before (CVE-2025-32434).
Here nothing is unpickled: the pickle of a plain tensor is always the same row of opcodes but for a few numbers and the
name of a storage, so the row is listed, as ``pickletools`` does for people to read, and compared.
"""

import base64
import io
import pickletools
import struct
import zipfile
from collections.abc import Iterator
from math import prod
from typing import Any

import torch
from torch import Tensor

from freqq.errors import UserError

STORAGES = {
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch LongStorage": torch.int64,
    "torch IntStorage": torch.int32,
}
"""The types that are read, by what a pickle calls them."""

MOST_DIMENSIONS = 3
"""Of more, a pickle has another form; nothing here needs it."""

MOST_ENTRIES = 16
"""Files in an archive; ``torch.save`` writes seven for one tensor."""

MOST_PICKLE_BYTES = 1024
"""Of one tensor's description, which takes about 160."""

DAMAGE = (ValueError, RuntimeError, NotImplementedError, OSError, EOFError, struct.error, zipfile.BadZipFile)
"""What base64, ``zipfile`` and ``pickletools`` raise on what they cannot read."""

NUMBERS = {"BININT1", "BININT2", "BININT", "LONG1"}
IGNORED = {"BINPUT", "LONG_BINPUT"}
"""Opcodes that only note a value for later, which a plain tensor never does."""


def pack(tensor: Tensor) -> str:
    """A tensor as text, with its own elements alone: ``torch.save`` would write all that a view looks at."""
    file = io.BytesIO()
    torch.save(tensor.detach().cpu().contiguous().clone(), file)
    return base64.b64encode(file.getvalue()).decode("ascii")


def unpack(text: str) -> Tensor:
    """A plain, dense, contiguous tensor of one to three dimensions from what `pack` or vLLM's clients write.

    Memory is taken in proportion to the text: the archive must not be compressed, and the sizes that it states are
    checked against the bytes that are there.

    Raises
    ------
    UserError
        If it is anything else.
    """
    try:
        content = base64.b64decode(text, validate=True)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _read(archive)
    except UserError:
        raise
    except DAMAGE as error:
        raise UserError(f"not base64 of a file that torch.save makes ({error})") from error


def _read(archive: zipfile.ZipFile) -> Tensor:
    entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()[:MOST_ENTRIES]}
    stored = all(e.compress_type == zipfile.ZIP_STORED and e.compress_size == e.file_size for e in entries.values())
    if len(entries) != len(archive.infolist()) or not stored:
        raise UserError("not a file that torch.save makes: it has many, doubled or compressed entries")
    description = entries.get("data.pkl")
    if description is None or description.file_size > MOST_PICKLE_BYTES:
        raise UserError("not the file of one tensor, as torch.save makes it")
    if "byteorder" in entries and archive.read(entries["byteorder"]) != b"little":
        raise UserError("the tensor's bytes are in big-endian order, which is not read")
    dtype, key, shape = _described(archive.read(description))
    data = entries.get(f"data/{key}")
    if data is None or data.file_size != prod(shape) * dtype.itemsize:
        raise UserError(f"the tensor has another number of bytes than its shape {list(shape)} needs")
    return torch.frombuffer(bytearray(archive.read(data)), dtype=dtype).reshape(shape)


def _described(pickle: bytes) -> tuple[torch.dtype, str, tuple[int, ...]]:
    """Type, name of the data and shape, if a pickle is that of a plain tensor."""
    codes = _Codes(pickle)
    codes.expect("PROTO", 2)
    codes.expect("GLOBAL", "torch._utils _rebuild_tensor_v2")
    for _ in range(2):
        codes.expect("MARK")
    codes.expect("BINUNICODE", "storage")
    storage = codes.value("GLOBAL")
    if storage not in STORAGES:
        raise UserError(f"a tensor of {storage.partition(' ')[2][:40]} is not read")
    key = codes.value("BINUNICODE")
    codes.value("BINUNICODE")  # the device that it was on
    count = codes.number()
    codes.expect("TUPLE")
    codes.expect("BINPERSID")
    offset, shape, strides = codes.number(), codes.numbers(), codes.numbers()
    for name, wanted in (
        ("NEWFALSE", None), ("GLOBAL", "collections OrderedDict"), ("EMPTY_TUPLE", None), ("REDUCE", None),
        ("TUPLE", None), ("REDUCE", None), ("STOP", None),
    ):  # fmt: skip
        codes.expect(name, wanted)
    dense = len(strides) == len(shape) and all(
        size == 1 or stride == prod(shape[i + 1 :]) for i, (size, stride) in enumerate(zip(shape, strides, strict=True))
    )
    if offset or count != prod(shape) or min(shape) < 1 or not dense:
        raise UserError(f"the tensor of shape {list(shape)} is empty, not contiguous, or not all of its storage")
    return STORAGES[storage], key, shape


class _Codes:
    """A pickle's opcodes, one after another. They are listed and never executed."""

    def __init__(self, pickle: bytes) -> None:
        self._rest: Iterator[tuple[str, Any]] = (
            (code.name, argument) for code, argument, _ in pickletools.genops(pickle) if code.name not in IGNORED
        )
        self._next = next(self._rest)

    def value(self, name: str) -> Any:
        """The argument of the next opcode, which has to be this one."""
        found, argument = self._next
        if found != name:
            raise UserError(f"the file does not describe a plain tensor: {found} where {name} belongs")
        self._next = next(self._rest, ("end", None))
        return argument

    def expect(self, name: str, argument: object = None) -> None:
        """The next opcode has to be this one with this argument."""
        if self.value(name) != argument:
            raise UserError(f"the file does not describe a plain tensor: another {name} belongs there")

    def number(self) -> int:
        """The next is a number."""
        return int(self.value(self._next[0] if self._next[0] in NUMBERS else "BININT"))

    def numbers(self) -> tuple[int, ...]:
        """The next are one to three numbers and an opcode that makes a tuple of them."""
        found: list[int] = []
        while self._next[0] in NUMBERS and len(found) < MOST_DIMENSIONS:
            found.append(self.number())
        self.expect(f"TUPLE{len(found) or 1}")
        return tuple(found)
