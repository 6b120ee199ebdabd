"""Where a model goes: its device and number format."""

from dataclasses import dataclass

import torch

from freqq.errors import UserError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
    """

    dtype: str
    device: str
    spread: bool = False
    replicas: int = 1


def place(dtype: str = "auto", device: str = "auto", spread: bool = False, replicas: int = 1) -> Placement:
    """What ``auto`` means here: the first CUDA device if there is one, bfloat16 there and float32 on a CPU.

    Raises
    ------
    UserError
        If there is no such device or number format.
    """
    found = _device(device)
    return Placement(str(_dtype(dtype, found)).removeprefix("torch."), str(found), spread, replicas)


def _device(name: str) -> torch.device:
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


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise UserError(f"unknown dtype {name!r}: use auto, {', '.join(DTYPES)}")
    return DTYPES[name]
