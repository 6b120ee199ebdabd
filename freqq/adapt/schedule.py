"""How the learning rate goes over a training, by its steps or by its time, and how many steps fit into a time."""

import math
from dataclasses import dataclass

WARMUP = 30
"""Steps in which the learning rate rises."""

WARMUP_SHARE = 0.1
"""The rate has risen, at the latest, after this share of a time limit: 30 slow steps may be all that fit into one."""

MARGIN = 1.1
"""The last validation may take this much longer than the one before, by which it is planned."""

VALIDATION_SHARE = 0.2
"""The most of a time limit that one validation may take: a slow machine validates on fewer held-out examples."""


def rate_factor(step: int, steps: int) -> float:
    """Learning rate of a step as a fraction of the peak: a short rise, then half a cosine to zero."""
    if step < WARMUP:
        return min(1.0, (step + 1) / WARMUP)
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / max(steps - WARMUP, 1)))


def timed_rate_factor(step: int, share: float) -> float:
    """As `rate_factor`, by the share in [0, 1] of the time that is used up: how many steps will fit is not known."""
    rise = min(1.0, max((step + 1) / WARMUP, share / WARMUP_SHARE))
    return rise * 0.5 * (1 + math.cos(math.pi * share))


@dataclass(frozen=True)
class TimeLimit:
    """A training's time, in seconds of a clock that counts all of it: loading, steps, validations and checkpoints.

    Parameters
    ----------
    limit : float
        When the training has to be over.
    first : float
        When its first step began.
    validation : float
        How long a validation takes, with the checkpoint behind it; the training ends with one.
    """

    limit: float
    first: float
    validation: float

    @property
    def last(self) -> float:
        """When the last step has to be over."""
        return self.limit - MARGIN * self.validation

    def share(self, now: float) -> float:
        """The share of the steps' time that is used up, in [0, 1]."""
        return min(1.0, max(0.0, now - self.first) / max(self.last - self.first, 1e-9))

    def steps(self, step: int, now: float, pace: float) -> int:
        """How many steps there will be, of which `step` are done, if each takes `pace` from now on; at least one."""
        return max(1, step, step + math.floor(max(0.0, self.last - now) / max(pace, 1e-9)))
