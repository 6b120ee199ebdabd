"""A device that fails on request: raises what torch raises of an accelerator at the n-th call of a stage."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from freqq.glm.device_errors import AcceleratorError

PLACES = ("vision", "prefill", "decode")

LAUNCH = (
    "CUDA error: {}\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace "
    "below might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1"
)

BREAKING: dict[str, Callable[[], Exception]] = {
    "illegal memory access": lambda: RuntimeError(LAUNCH.format("an illegal memory access was encountered")),
    "accelerator error": lambda: AcceleratorError(LAUNCH.format("unspecified launch failure")),
    "assert": lambda: RuntimeError(LAUNCH.format("device-side assert triggered")),
    "driver's out of memory": lambda: RuntimeError(LAUNCH.format("out of memory")),
    "ecc": lambda: RuntimeError(LAUNCH.format("uncorrectable ECC error encountered")),
    "lost": lambda: RuntimeError("CUDA error: the device is lost, GPU has fallen off the bus"),
    "cublas": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx(...)`"),
    "cublas without a handle": lambda: RuntimeError("cublasCreate(handle) failed: CUBLAS_STATUS_NOT_INITIALIZED"),
    "cudnn": lambda: RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
}
"""What is the device's fault."""


class FaultyDevice:
    """Counts calls and raises at the n-th of a place.

    Parameters
    ----------
    faults : dict
        For a place and the number of a call, from 1, what it raises.
    """

    def __init__(self, faults: dict[tuple[str, int], Callable[[], Exception]]) -> None:
        self.faults = faults
        self.calls: Counter[str] = Counter()

    def call(self, place: str) -> None:
        self.calls[place] += 1
        if fault := self.faults.get((place, self.calls[place])):
            raise fault()

    @contextmanager
    def under(self, model: Any) -> Iterator[None]:
        """Be the device of a GLM-4V model: each pass of its tower and of its language model is a call."""

        def read(module: Any, args: Any, given: dict[str, Any]) -> None:
            self.call("prefill" if given["inputs_embeds"].shape[1] > 1 else "decode")

        hooks = [
            model.model.visual.register_forward_pre_hook(lambda module, args: self.call("vision")),
            model.model.language_model.register_forward_pre_hook(read, with_kwargs=True),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def out_of_memory() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
