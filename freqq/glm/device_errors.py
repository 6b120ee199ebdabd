"""What an error of torch says about the device: it is broken, it is short of memory, or neither."""

import re

import torch

from freqq.errors import BrokenDevice, FreqqError, OutOfMemory

BROKEN = re.compile(
    r"CUDA (driver )?error|CUDA kernel errors|CUBLAS_STATUS|cuBLAS|CUDNN_STATUS|cuDNN error|CUSOLVER_STATUS|"
    r"CUSPARSE_STATUS|CUFFT_|NCCL error|HIP error|ECC error|device-side assert|no CUDA-capable device|"
    r"(device|GPU) (is|was) lost|fallen off the bus",
    re.IGNORECASE,
)
"""What messages say if an accelerator, its driver or its libraries failed. After most of these errors nothing works any
more in the same process, whatever it is given. "CUDA error: out of memory" is among them: it comes from the driver and
not from torch's allocator, which could give memory back."""

SHORT_OF_MEMORY = re.compile(r"can't allocate memory|DefaultCPUAllocator|not enough memory", re.IGNORECASE)
"""torch has no class for a lack of main memory."""

AcceleratorError: type[Exception] = getattr(torch, "AcceleratorError", BrokenDevice)
"""torch 2.8 and newer have a class of their own for some of them."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory was short, so that less at once may fit."""
    if isinstance(error, OutOfMemory | torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and SHORT_OF_MEMORY.search(str(error)) is not None


def is_broken_device(error: Exception) -> bool:
    """Whether the accelerator failed, and not what it was given to compute."""
    if isinstance(error, BrokenDevice | AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and not is_out_of_memory(error) and BROKEN.search(str(error)) is not None


def classified(error: Exception, what: str = "this") -> Exception:
    """An error as one of ours if it is about the device; any other as it is.

    Parameters
    ----------
    what : str
        What there was no memory for, and how it could take less.
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
    """Compute something on an accelerator whose result is known; a CPU is taken to work.

    Raises
    ------
    BrokenDevice
        If the device fails or gives another result.
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
