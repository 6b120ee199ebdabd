"""Placement of a model: device, number format, attention, quantization.

torch, which takes a second to import, is imported only where it is needed, because settings use the tables of names.
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
"""The user's choices."""


@dataclass(frozen=True)
class Placement:
    """Device, number format and so on of a model; created by `place`.

    Parameters
    ----------
    dtype : ``float32``, ``bfloat16`` or ``float16``
    device : ``cpu`` or ``cuda:N``
        Device of the inputs, and of the whole model unless it is spread.
    spread : bool
        Spread the model over all visible devices, by accelerate.
    replicas : int
        Number of models that share the machine's main memory.
    attention : ``sdpa``, ``eager`` or ``flash_attention_2``
    quantization : ``int8``, ``nf4`` or None
        Storage of the language model's linear layers.
    """

    dtype: str
    device: str
    spread: bool = False
    replicas: int = 1
    attention: str = "sdpa"
    quantization: str | None = None


def multiplies_bfloat16(device: str = "cpu") -> bool:
    """Whether products of bfloat16 are no slower than those of float32 on a device: on CUDA, and on CPUs that have
    instructions for them. Others take several times as long.
    """
    import torch

    if torch.device(device).type != "cpu":
        return True
    tell = getattr(torch.cpu, "get_capabilities", None)  # older releases of torch do not know
    return tell is None or any(there for name, there in tell().items() if name.endswith("bf16"))


def place(
    dtype: str = "auto",
    device: str = "auto",
    spread: bool = False,
    replicas: int = 1,
    attention: str = "auto",
    quantization: str | None = None,
) -> Placement:
    """Resolve ``auto`` and check the choices.

    Parameters
    ----------
    dtype : ``auto``, ``float32``, ``bfloat16`` or ``float16``
        ``auto`` is bfloat16 on CUDA and float32 on a CPU.
    device : ``auto``, ``cpu``, ``cuda`` or ``cuda:1`` and so on
        ``auto`` is the first CUDA device if there is one.
    attention : ``auto``, ``sdpa``, ``eager`` or ``flash_attention_2``
        ``auto`` is FlashAttention if it is installed, on CUDA in half precision, else SDPA.
    quantization : ``int8`` or ``nf4``, optional
        Store the language model's linear layers in 8 or 4 bits, by bitsandbytes (``freqq[quantization]``).

    Raises
    ------
    UserError
        If there is no such device or number format, or a choice needs a package that is not installed.
    """
    found = _device(device)
    form = _dtype(dtype, found)
    return Placement(
        form, str(found), spread, replicas, _attention(attention, found, form), _quantization(quantization)
    )


def _attention(name: str, device: "torch.device", dtype: str) -> str:
    if name not in ATTENTIONS:
        raise unknown("attention", name, ATTENTIONS)
    from transformers.utils.import_utils import is_flash_attn_2_available  # takes half a second

    lacking = [
        what
        for what, available in (
            ("a GPU", device.type == "cuda"),
            ("bfloat16 or float16", dtype != "float32"),
            ("the package flash-attn", is_flash_attn_2_available()),
        )
        if not available
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
        return torch.device("cpu")  # some libraries number it, too
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
