"""What rows were made with: versions and hardware, for a part's metadata, and the program that added methods."""

import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from freqq import __version__
from freqq.data.tasks import TASKS
from freqq.glm.families import FAMILIES
from freqq.image import CODECS
from freqq.runs.directory import RunDirectory
from freqq.tokens import COMPRESSORS

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


def part_metadata(run: Path, device: str) -> dict[str, Any]:
    """What a part says of how its rows were made: ``run.json`` without the samples, and the environment."""
    config = {name: value for name, value in RunDirectory(run).plan().items() if name != "samples"}
    return {"config": config, **environment(device)}


def adding_script() -> str | None:
    """The file of the main program, if that or what it imports added methods, tasks or families of models: other
    processes have to run it to know them."""
    found: str | None = getattr(sys.modules["__main__"], "__file__", None)
    return found if CODECS.added or COMPRESSORS.added or TASKS.added or FAMILIES.added else None
