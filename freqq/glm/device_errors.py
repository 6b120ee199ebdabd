"""Classify torch's errors: the device is broken, memory ran out, or neither."""

import re

import torch

from freqq.errors import BrokenDevice, FreqqError, OutOfMemory

BROKEN = re.compile(
    r"CUDA (driver )?error|CUDA kernel errors|CUBLAS_STATUS|cuBLAS|CUDNN_STATUS|cuDNN error|CUSOLVER_STATUS|"
    r"CUSPARSE_STATUS|CUFFT_|NCCL error|HIP error|ECC error|device-side assert|no CUDA-capable device|"
    r"(device|GPU) (is|was) lost|fallen off the bus",
    re.IGNORECASE,
)
"""Messages of a failed accelerator, driver or library. After most of them nothing works any more in the same process.
They include "CUDA error: out of memory", which comes from the driver and not from torch's allocator, which could free
memory."""

SHORT_OF_MEMORY = re.compile(r"can't allocate memory|DefaultCPUAllocator|not enough memory", re.IGNORECASE)
"""Messages about main memory, for which torch has no class."""

AcceleratorError: type[Exception] = getattr(torch, "AcceleratorError", BrokenDevice)
"""torch's class for some device errors, since torch 2.8."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, so that a smaller batch may fit."""
    if isinstance(error, OutOfMemory | torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and SHORT_OF_MEMORY.search(str(error)) is not None


def is_broken_device(error: Exception) -> bool:
    """Whether the accelerator itself failed."""
    if isinstance(error, BrokenDevice | AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and not is_out_of_memory(error) and BROKEN.search(str(error)) is not None


def classified(error: Exception, what: str = "this") -> Exception:
    """Convert device errors to freqq's; any other error is returned unchanged.

    Parameters
    ----------
    what : str
        What needed the memory, and how to need less.
    """
    if isinstance(error, FreqqError):
        return error
    if is_out_of_memory(error):
        return OutOfMemory(f"out of memory on {what}")
    if is_broken_device(error):
        reason = " ".join(str(error).split())[:200]
        return BrokenDevice(f"the device failed with {type(error).__name__}: {reason}")
    return error


def check_device(device: torch.device) -> None:
    """Compute a known result on an accelerator; a CPU is not checked.

    Raises
    ------
    BrokenDevice
        If the device fails or the result is wrong.
    """
    if device.type == "cpu":
        return
    try:
        ones = torch.ones(256, 256, device=device)
        found = float((ones @ ones).sum())
    except Exception as error:
        raise classified(error) from error
    if found != 256**3:
        raise BrokenDevice(f"{device} computes wrong results: {found} in place of {256**3}")
