"""The learning rate by steps or by time, and the number of steps that fit into a time limit."""

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

WARMUP = 30
"""Steps in which the learning rate rises."""

WARMUP_SHARE = 0.1
"""Warm-up ends at the latest after this share of a time limit, in which fewer than 30 slow steps may fit."""

MARGIN = 1.1
"""Safety factor for the duration of the last validation, planned by that of the previous one."""

VALIDATION_SHARE = 0.2
"""The largest share of a time limit for one validation; a slow machine validates on fewer held-out examples."""


def process_start() -> float:
    """The reading of `time.monotonic` when this process began; that of now where the system does not tell.

    On a busy machine, Python and what it imports take many seconds before anything of ours can look at a clock.
    """
    now = time.monotonic()
    try:
        # The name of a program, which stands before in brackets, may have spaces and brackets, too.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        since_boot = int(fields[STARTED]) / os.sysconf("SC_CLK_TCK")
        return now - max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)
    except (OSError, ValueError, IndexError, AttributeError):
        return now


STARTED = 19
"""The field of proc_pid_stat(5) behind the name that has the time of the start, in ticks since the system's."""


def rate_factor(step: int, steps: int) -> float:
    """Learning rate of a step as a fraction of the peak: a short rise, then half a cosine to zero."""
    if step < WARMUP:
        return min(1.0, (step + 1) / WARMUP)
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / max(steps - WARMUP, 1)))


def timed_rate_factor(step: int, share: float) -> float:
    """`rate_factor` by the elapsed share of the time in [0, 1], as the number of steps is not known."""
    rise = min(1.0, max((step + 1) / WARMUP, share / WARMUP_SHARE))
    return rise * 0.5 * (1 + math.cos(math.pi * share))


@dataclass(frozen=True)
class TimeLimit:
    """The time limit of a training, in seconds, with loading, steps, validations and checkpoints.

    Parameters
    ----------
    limit : float
        End of the training.
    first : float
        Start of the first step.
    validation : float
        Duration of a validation with its checkpoint; the training ends with one.
    """

    limit: float
    first: float
    validation: float

    @property
    def last(self) -> float:
        """End of the last step."""
        return self.limit - MARGIN * self.validation

    def share(self, now: float) -> float:
        """The elapsed share of the steps' time, in [0, 1]."""
        return min(1.0, max(0.0, now - self.first) / max(self.last - self.first, 1e-9))

    def steps(self, step: int, now: float, pace: float) -> int:
        """The total number of steps, at least one, if `step` are done and each further one takes `pace` seconds."""
        return max(1, step, step + math.floor(max(0.0, self.last - now) / max(pace, 1e-9)))
