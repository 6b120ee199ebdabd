"""The peak memory of this process."""

import re
from pathlib import Path

PROCESS = Path("/proc/self")


def forget_peak() -> None:
    """Make the process's peak of memory what it has now. Where there is no /proc, no memory is measured."""
    if PROCESS.exists():
        (PROCESS / "clear_refs").write_text("5")


def peak_mb() -> float:
    """The process's peak of memory since `forget_peak`."""
    if not PROCESS.exists():
        return 0.0
    return int(re.search(r"VmHWM:\s+(\d+)", (PROCESS / "status").read_text())[1]) / 1024
