"""Where a model goes and what computes it: device, number format, attention, quantized weights.

torch, which takes a second, is imported where it is needed: settings read the tables of names alone.
"""

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freqq.errors import UserError
from freqq.names import unknown

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "bfloat16", "float16")
ATTENTIONS = ("auto", "sdpa", "eager", "flash_attention_2")
QUANTIZATIONS = ("int8", "nf4")
"""What a user may choose."""


@dataclass(frozen=True)
class Placement:
    """Where a model goes, and in which number format; made by `place`.

    Parameters
    ----------
    dtype : ``float32``, ``bfloat16`` or ``float16``
    device : ``cpu`` or ``cuda:N``
        That of the inputs; of the whole model unless it is spread.
    spread : bool
        Over all devices that are visible, by accelerate.
    replicas : int
        How many of these share a machine's main memory.
    attention : ``sdpa``, ``eager`` or ``flash_attention_2``
    quantization : ``int8``, ``nf4`` or None
        What the language model's linear layers are stored as.
    """

    dtype: str
    device: str
    spread: bool = False
    replicas: int = 1
    attention: str = "sdpa"
    quantization: str | None = None


def place(
    dtype: str = "auto",
    device: str = "auto",
    spread: bool = False,
    replicas: int = 1,
    attention: str = "auto",
    quantization: str | None = None,
) -> Placement:
    """What ``auto`` means here: the first CUDA device if there is one, bfloat16 there and float32 on a CPU.

    ``auto`` attention is FlashAttention where it can run (the package is installed; CUDA; half precision), else SDPA.

    Raises
    ------
    UserError
        If there is no such device or number format, or what was asked for needs a package that is not installed.
    """
    found = _device(device)
    form = _dtype(dtype, found)
    return Placement(
        form, str(found), spread, replicas, _attention(attention, found, form), _quantization(quantization)
    )


def _attention(name: str, device: "torch.device", dtype: str) -> str:
    if name not in ATTENTIONS:
        raise unknown("attention", name, ATTENTIONS)
    from transformers.utils.import_utils import is_flash_attn_2_available  # half a second, and few commands ask

    lacking = [
        what
        for what, there in (
            ("a GPU", device.type == "cuda"),
            ("bfloat16 or float16", dtype != "float32"),
            ("the package flash-attn", is_flash_attn_2_available()),
        )
        if not there
    ]
    if name == "flash_attention_2" and lacking:
        raise UserError(f"--attention {name} needs {lacking[0]}: leave it out, or use sdpa")
    if name == "auto":
        return "sdpa" if lacking else "flash_attention_2"
    return name


def _quantization(name: str | None) -> str | None:
    if name is not None and name not in QUANTIZATIONS:
        raise unknown("quantization", name, QUANTIZATIONS)
    if name is not None and importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(f"--quantization {name} needs bitsandbytes: pip install 'freqq[quantization]'")
    return name


def _device(name: str) -> "torch.device":
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"unknown device {name!r}: use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"device {name!r} is not supported: use auto, cpu, cuda or cuda:N")
    if device.type == "cpu":
        return device
    index, count = device.index or 0, torch.cuda.device_count()
    if index >= count:
        raise UserError(f"there is no device {name}: {count} CUDA devices are visible here")
    return torch.device("cuda", index)


def _dtype(name: str, device: "torch.device") -> str:
    if name not in DTYPES:
        raise UserError(f"unknown dtype {name!r}: use {', '.join(DTYPES)}")
    if name == "auto":
        return "bfloat16" if device.type == "cuda" else "float32"
    return name
