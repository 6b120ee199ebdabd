"""What rows were made with: versions and hardware, for a part's metadata."""

import platform
from importlib.metadata import version
from typing import Any

import torch

from freqq import __version__

PACKAGES = ("torch", "transformers", "numpy", "pyarrow")


def environment(device: str) -> dict[str, Any]:
    """Versions and hardware of this process, and the device that answers."""
    gpu = torch.cuda.get_device_name(device) if device.startswith("cuda") else None
    return {
        "versions": {"freqq": __version__, "python": platform.python_version(), **{n: version(n) for n in PACKAGES}},
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "threads": torch.get_num_threads(),
            "device": device,
            "gpu": gpu,
        },
    }
