"""Tensors as text: base64 of a ``torch.save`` file, the format of vLLM.

They are read by torch's restricted unpickler, as in vLLM, and only if the file can contain no more than a small
description and the bytes of one tensor.
"""

import base64
import io
import zipfile

import torch
from torch import Tensor

from freqq.errors import UserError

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32)
MOST_DIMENSIONS = 3
MOST_ENTRIES = 16
"""Files in an archive; ``torch.save`` writes seven for one tensor."""

ZIP_START = b"PK\x03\x04"
"""Required at the start: torch reads a file with other content before the archive as its older format, any pickle."""

MOST_PICKLE_BYTES = 1024
"""Limit of one tensor's description, which takes about 160."""


def pack(tensor: Tensor) -> str:
    """Write a tensor as text. A view is copied first, since ``torch.save`` writes the whole storage."""
    file = io.BytesIO()
    torch.save(tensor.detach().cpu().contiguous().clone(), file)
    return base64.b64encode(file.getvalue()).decode("ascii")


def unpack(text: str) -> Tensor:
    """Read a plain, dense, contiguous tensor of one to three dimensions written by `pack` or vLLM's clients.

    Memory is proportional to the text, since the archive must not be compressed. Bytes must be little-endian: older
    releases of torch swap as many bytes as the description claims, even beyond the end.

    Raises
    ------
    UserError
        If the text is anything else.
    """
    try:
        content = base64.b64decode(text, validate=True)
        data_bytes = _check(content)
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # base64, zipfile and torch raise many kinds of errors on bad input
        reason = str(error).partition("\n")[0][:120]
        raise UserError(f"not base64 of one tensor, as torch.save writes it ({reason})") from error
    if type(found) is not Tensor or found.layout != torch.strided or found.dtype not in DTYPES:
        raise UserError(f"the file does not hold a plain tensor of {', '.join(str(d)[6:] for d in DTYPES)}")
    if not 1 <= found.ndim <= MOST_DIMENSIONS or not found.numel():
        raise UserError(f"a tensor of shape {list(found.shape)}: give one to {MOST_DIMENSIONS} dimensions, none empty")
    whole = found.numel() * found.element_size()
    if not found.is_contiguous() or not found.untyped_storage().nbytes() == whole == data_bytes:
        raise UserError(f"the tensor of shape {list(found.shape)} is not contiguous, or not all of its storage")
    return found


def _check(content: bytes) -> int:
    """Refuse an archive that may contain more than one tensor, before unpickling; returns the bytes of its data."""
    if not content.startswith(ZIP_START):
        raise UserError("not the file of one tensor, as torch.save makes it")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()[:MOST_ENTRIES]}
        stored = all(e.compress_type == zipfile.ZIP_STORED and e.compress_size == e.file_size for e in entries.values())
        if len(entries) != len(archive.infolist()) or not stored:
            raise UserError("not a file that torch.save makes: it has many, doubled or compressed entries")
        if "byteorder" in entries and archive.read(entries["byteorder"]) != b"little":
            raise UserError("the tensor's bytes are in big-endian order, which is not read")
    if "data.pkl" not in entries or entries["data.pkl"].file_size > MOST_PICKLE_BYTES:
        raise UserError("not the file of one tensor, as torch.save makes it")
    return sum(entry.file_size for name, entry in entries.items() if name.startswith("data/"))
